// libcuda.so.1 on the CPU: kernels are shared libraries, the threads of a block are fibers of this thread.
#include <dlfcn.h>
#include <elf.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

namespace {
struct Dim { unsigned x, y, z; };
constexpr int kIllegalAddress = 700, kNotFound = 500, kInvalidImage = 200;
constexpr std::size_t kStackBytes = 128 << 10;

struct Function { void (*call)(void **); bool waits; };

struct Fiber {
  ucontext_t context;  // only to begin with: jumps cost no system call
  jmp_buf state;
  Dim index{};
  bool is_started = false;
  bool is_done = true;
  std::vector<char> stack;
};

int sticky = 0;  // like CUDA's: after an illegal address nothing works in this process any more
Dim block_index, block_extent, grid_extent;
std::vector<Fiber> fibers;
std::size_t current = 0, alive = 0;
jmp_buf scheduler;
void (*kernel_call)(void **) = nullptr;
void **kernel_arguments = nullptr;

struct Barrier { std::size_t arrived = 0; unsigned long generation = 0; };
Barrier block_barrier;
std::vector<Barrier> warp_barriers;
std::vector<unsigned long long> slots;
std::vector<std::size_t> warp_alive;

void yield() {
  if (_setjmp(fibers[current].state) == 0) _longjmp(scheduler, 1);
}

void arrive(Barrier &barrier, std::size_t &expected) {
  unsigned long generation = barrier.generation;
  barrier.arrived++;
  while (barrier.generation == generation) {
    if (barrier.arrived >= expected) {
      barrier.arrived = 0;
      barrier.generation++;
      return;
    }
    yield();
  }
}

void fiber_main() {
  for (;;) {
    kernel_call(kernel_arguments);
    fibers[current].is_done = true;
    alive--;
    warp_alive[current / 32]--;
    yield();
  }
}

void resume(Fiber &fiber) {
  if (_setjmp(scheduler) != 0) return;
  if (fiber.is_started) _longjmp(fiber.state, 1);
  fiber.is_started = true;
  fiber.stack.resize(kStackBytes);
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack.data();
  fiber.context.uc_stack.ss_size = fiber.stack.size();
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, fiber_main, 0);
  setcontext(&fiber.context);
}

Dim index_of(std::size_t thread) {
  return {static_cast<unsigned>(thread % block_extent.x),
          static_cast<unsigned>(thread / block_extent.x % block_extent.y),
          static_cast<unsigned>(thread / block_extent.x / block_extent.y)};
}

void run_block(std::size_t threads) {
  alive = threads;
  std::size_t warps = (threads + 31) / 32;
  block_barrier = Barrier();
  warp_barriers.assign(warps, Barrier());
  warp_alive.assign(warps, 32);
  if (threads % 32) warp_alive.back() = threads % 32;
  slots.assign(threads, 0);
  for (std::size_t t = 0; t < threads; t++) {
    Fiber &fiber = fibers[t];
    fiber.is_done = false;
    fiber.index = index_of(t);
  }
  while (alive > 0)
    for (current = 0; current < threads; current++)
      if (!fibers[current].is_done) resume(fibers[current]);
}

sigjmp_buf escape;
void on_fault(int) { siglongjmp(escape, 1); }
}  // namespace

extern "C" {
Dim *emu_thread_index() { return &fibers[current].index; }
Dim *emu_block_index() { return &block_index; }
Dim *emu_block_extent() { return &block_extent; }
Dim *emu_grid_extent() { return &grid_extent; }
int emu_sticky() { return sticky; }
void emu_barrier() { arrive(block_barrier, alive); }
unsigned long long emu_shuffle(unsigned long long value, int lane) {
  std::size_t warp = current / 32, self = current, source = warp * 32 + static_cast<std::size_t>(lane);
  slots[self] = value;
  arrive(warp_barriers[warp], warp_alive[warp]);
  unsigned long long found = source < slots.size() ? slots[source] : value;
  arrive(warp_barriers[warp], warp_alive[warp]);
  return found;
}

int cuModuleLoadData(void **module, const void *image) {
  if (sticky) return sticky;
  const auto *header = static_cast<const Elf64_Ehdr *>(image);
  if (std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) return kInvalidImage;
  std::size_t size = header->e_shoff + static_cast<std::size_t>(header->e_shnum) * header->e_shentsize;
  int file = memfd_create("emulated-module", 0);
  if (write(file, image, size) != static_cast<ssize_t>(size)) return kInvalidImage;
  *module = dlopen(("/proc/self/fd/" + std::to_string(file)).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!*module) std::fprintf(stderr, "emulator: %s\n", dlerror());
  return *module ? 0 : kInvalidImage;  // the descriptor stays open: dlopen compares names
}
int cuModuleUnload(void *) { return 0; }
int cuModuleGetFunction(void **function, void *module, const char *name) {
  auto call = reinterpret_cast<void (*)(void **)>(dlsym(module, (std::string("emu_call_") + name).c_str()));
  auto waits = static_cast<int *>(dlsym(module, (std::string("emu_waits_") + name).c_str()));
  if (!call || !waits) return kNotFound;
  *function = new Function{call, *waits != 0};
  return 0;
}
int cuFuncSetAttribute(void *, int, int) { return sticky; }
struct LaunchConfig { unsigned grid[3], block[3], shared; void *stream; void *attributes; unsigned count; };
int cuLaunchKernelEx(const LaunchConfig *config, void *function, void **arguments, void **) {
  if (sticky) return sticky;
  grid_extent = {config->grid[0], config->grid[1], config->grid[2]};
  block_extent = {config->block[0], config->block[1], config->block[2]};
  std::size_t threads = static_cast<std::size_t>(block_extent.x) * block_extent.y * block_extent.z;
  if (threads > 1024 || config->shared > (227u << 10)) return 1;
  if (fibers.empty()) fibers.resize(1024);  // they must not move
  kernel_call = static_cast<Function *>(function)->call;
  bool waits = static_cast<Function *>(function)->waits;
  kernel_arguments = arguments;
  struct sigaction action {}, before {};
  stack_t signal_stack {}, old_stack {};
  static char fault_stack[64 << 10];
  signal_stack.ss_sp = fault_stack;
  signal_stack.ss_size = sizeof fault_stack;
  sigaltstack(&signal_stack, &old_stack);
  action.sa_handler = on_fault;
  action.sa_flags = SA_ONSTACK;
  sigaction(SIGSEGV, &action, &before);
  if (sigsetjmp(escape, 1) == 0) {
    for (block_index.z = 0; block_index.z < grid_extent.z; block_index.z++)
      for (block_index.y = 0; block_index.y < grid_extent.y; block_index.y++)
        for (block_index.x = 0; block_index.x < grid_extent.x; block_index.x++)
          if (waits) {
            run_block(threads);
          } else {
            current = 0;
            for (std::size_t t = 0; t < threads; t++) {
              fibers[0].index = index_of(t);
              kernel_call(arguments);
            }
          }
  } else {
    sticky = kIllegalAddress;
  }
  sigaction(SIGSEGV, &before, nullptr);
  return 0;  // launches are asynchronous: the error shows in the next call
}
int cuDeviceGetName(char *name, int length, int) {
  std::snprintf(name, static_cast<std::size_t>(length), "Emulated GPU");
  return 0;
}
int cuGetErrorName(int error, const char **text) {
  *text = error == kIllegalAddress ? "CUDA_ERROR_ILLEGAL_ADDRESS" : "CUDA_ERROR_UNKNOWN";
  return 0;
}
int cuGetErrorString(int error, const char **text) { return cuGetErrorName(error, text); }
int cuTensorMapEncodeTiled() { return 1; }
}
