// libcudart.so.13 on the CPU: device memory is memory, events are readings of a clock.
#include <chrono>
#include <cstdlib>
#include <cstring>

extern "C" {
int emu_sticky();

int cudaGetDeviceCount(int *count) { *count = 1; return 0; }
int cudaSetDevice(int) { return emu_sticky(); }
int cudaGetDevice(int *device) { *device = 0; return 0; }
int cudaGetLastError() { return emu_sticky(); }
int cudaPeekAtLastError() { return emu_sticky(); }
const char *cudaGetErrorName(int error) { return error == 700 ? "cudaErrorIllegalAddress" : "cudaError"; }
const char *cudaGetErrorString(int error) {
  return error == 700 ? "an illegal memory access was encountered" : "emulated error";
}
int cudaGetDeviceProperties(void *properties, int) {
  std::memset(properties, 0, 512);
  std::strcpy(static_cast<char *>(properties), "Emulated GPU");
  return 0;
}
int cudaDeviceGetAttribute(int *value, int attribute, int) {
  switch (attribute) {
    case 1: *value = 1024; break;               // threads of a block
    case 2: case 3: *value = 1024; break;       // extents of a block
    case 4: *value = 64; break;
    case 5: *value = 2147483647; break;         // extents of a grid
    case 6: case 7: *value = 65535; break;
    case 8: *value = 48 << 10; break;           // shared memory of a block
    case 10: *value = 32; break;                // threads of a warp
    case 12: *value = 65536; break;             // registers of a block
    case 13: *value = 1410000; break;           // clock, kHz
    case 16: *value = 4; break;                 // multiprocessors
    case 38: *value = 1 << 20; break;           // level-2 cache
    case 75: *value = 8; break;                 // compute capability
    case 76: *value = 0; break;
    case 97: *value = 163 << 10; break;         // opt-in shared memory of a block
    default: *value = 0;
  }
  return 0;
}
int cudaMalloc(void **pointer, std::size_t bytes) {
  if (emu_sticky()) return emu_sticky();
  *pointer = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  return *pointer ? 0 : 2;
}
int cudaFree(void *pointer) { std::free(pointer); return emu_sticky(); }
int cudaMallocHost(void **pointer, std::size_t bytes) { return cudaMalloc(pointer, bytes); }
int cudaFreeHost(void *pointer) { return cudaFree(pointer); }
int cudaMemGetInfo(std::size_t *free, std::size_t *total) { *free = *total = std::size_t{1} << 30; return 0; }
int cudaMemcpyAsync(void *to, const void *from, std::size_t bytes, int, void *) {
  if (emu_sticky()) return emu_sticky();
  std::memcpy(to, from, bytes);
  return 0;
}
int cudaMemcpyPeerAsync(void *to, int, const void *from, int, std::size_t bytes, void *) {
  return cudaMemcpyAsync(to, from, bytes, 0, nullptr);
}
int cudaStreamCreate(void **stream) { *stream = nullptr; return 0; }
int cudaStreamCreateWithFlags(void **stream, unsigned) { return cudaStreamCreate(stream); }
int cudaStreamDestroy(void *) { return 0; }
int cudaStreamSynchronize(void *) { return emu_sticky(); }
int cudaStreamWaitEvent(void *, void *, unsigned) { return emu_sticky(); }
int cudaStreamBeginCapture(void *, int) { return 801; }
int cudaStreamEndCapture(void *, void **) { return 801; }
int cudaGraphInstantiate(void **, void *, unsigned long long) { return 801; }
int cudaGraphLaunch(void *, void *) { return 801; }
int cudaGraphDestroy(void *) { return 801; }
int cudaGraphExecDestroy(void *) { return 801; }
int cudaEventCreate(void **event) { *event = new double(0.0); return 0; }
int cudaEventDestroy(void *event) { delete static_cast<double *>(event); return 0; }
int cudaEventRecord(void *event, void *) {
  auto now = std::chrono::steady_clock::now().time_since_epoch();
  *static_cast<double *>(event) = std::chrono::duration<double, std::milli>(now).count();
  return emu_sticky();
}
int cudaEventSynchronize(void *) { return emu_sticky(); }
int cudaEventElapsedTime(float *milliseconds, void *from, void *to) {
  *milliseconds = static_cast<float>(*static_cast<double *>(to) - *static_cast<double *>(from));
  return emu_sticky();
}
}
