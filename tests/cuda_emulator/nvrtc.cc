// libnvrtc.so.13 that compiles CUDA source for the CPU, with g++ and the header that stands beside it.
#include <sys/wait.h>
#include <unistd.h>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <sstream>
#include <string>

namespace {
struct Program { std::string source, code, log; };

std::string read_file(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}
// Inline PTX becomes calls: `asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(x) : "f"(y))` of `emu_cvt_rna_tf32_f32(x, y)`.
std::string with_calls(const std::string &source) {
  std::regex start("\\b(?:__asm__|asm)\\s+(?:__volatile__|volatile)?\\s*\\(|\\basm\\(");
  std::regex name("(?:mma|ldmatrix|cp\\.async|cvt)[.\\w]*"), number("wait_group (\\d+);");
  std::string text;
  std::size_t from = 0;
  for (std::sregex_iterator found(source.begin(), source.end(), start), end; found != end; ++found) {
    std::size_t at = static_cast<std::size_t>(found->position() + found->length());
    text.append(source, from, static_cast<std::size_t>(found->position()) - from);
    std::string instruction, operands, literal;
    bool in_operands = false;
    for (int depth = 1; depth > 0; at++) {
      char c = source[at];
      if (c == '"') {
        std::size_t close = source.find('"', at + 1);
        if (!in_operands) instruction.append(source, at + 1, close - at - 1);
        at = close;
        continue;
      }
      depth += c == '(';
      depth -= c == ')';
      if (depth == 1 && c == ':') in_operands = true;
      if (depth == 0 || depth == 1 && (c == ':' || c == ')' || c == ',')) {
        if (c == ')' && depth == 1) operands += ')';
        continue;
      }
      if (in_operands && depth == 2 && c == '(') operands += operands.empty() ? "" : ", ";
      if (in_operands && depth >= 2) operands += c;
    }
    std::smatch what, immediate;
    std::regex_search(instruction, what, name);
    if (std::regex_search(instruction, immediate, number)) operands = immediate[1];
    std::string called = std::regex_replace(what.str(), std::regex("\\."), "_");
    text += "emu_" + called + "(" + operands + ")";
    from = at;
  }
  return text + source.substr(from);
}
}  // namespace

extern "C" {
int nvrtcCreateProgram(Program **program, const char *source, const char *, int, const char **, const char **) {
  *program = new Program{source, "", ""};
  return 0;
}
int nvrtcDestroyProgram(Program **program) { delete *program; *program = nullptr; return 0; }
int nvrtcCompileProgram(Program *program, int count, const char **options) {
  std::string arch = "sm_80";
  for (int i = 0; i < count; i++)
    if (std::strncmp(options[i], "--gpu-architecture=", 19) == 0) arch = options[i] + 19;
  std::string source = program->source;
  source = std::regex_replace(source, std::regex("#include <(cuda|cuda_fp16|cuda_bf16|mma).h>|#define (INFINITY|NAN) .*"), "");
  source = with_calls(source);
  // C++ wants the alignment in front.
  source = std::regex_replace(source, std::regex("(extern )?__shared__ ((?:alignas|__align__)\\(\\d+\\)) "), "$1__shared__ ");
  std::ostringstream text, report;
  text << "#include \"" EMULATOR_HEADER "\"\n";
  // Dynamic shared memory is an array that nobody defines.
  std::regex dynamic("extern __shared__ (\\w+) (\\w+)\\[\\];");
  std::set<std::string> defined;
  for (std::sregex_iterator found(source.begin(), source.end(), dynamic), end; found != end; ++found)
    if (defined.insert((*found)[2]).second)
      text << "alignas(1024) static " << ((*found)[1] == "uchar" ? "unsigned char" : (*found)[1].str()) << ' '
           << (*found)[2] << "[232448 / sizeof(" << ((*found)[1] == "uchar" ? "char" : (*found)[1].str()) << ")];\n";
  source = std::regex_replace(source, dynamic, "");
  text << source << '\n';
  std::regex entry("__global__ void (?:__launch_bounds__\\([^)]*\\) )?(\\w+)\\(");
  std::set<std::string> kernels;
  for (std::sregex_iterator found(source.begin(), source.end(), entry), end; found != end; ++found) {
    std::string name = (*found)[1];
    if (!kernels.insert(name).second) continue;
    text << "extern \"C\" void emu_call_" << name << "(void **arguments) { emu_apply(" << name << ", arguments); }\n";
    // Threads that never wait for each other need no fibers.
    bool waits = source.find("__syncthreads") != std::string::npos || source.find("__shfl") != std::string::npos;
    text << "extern \"C\" int emu_waits_" << name << " = " << waits << ";\n";
    report << "ptxas info    : Compiling entry function '" << name << "' for '" << arch << "'\n"
           << "ptxas info    : Function properties for " << name << "\n"
           << "    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n"
           << "ptxas info    : Used 32 registers, used 1 barriers, 376 bytes cmem[0]\n";
  }
  char folder[] = "/tmp/emulated-nvrtc-XXXXXX";
  if (!mkdtemp(folder)) return 2;
  std::string base = folder, input = base + "/kernel.cc", output = base + "/kernel.so", log = base + "/log";
  std::ofstream(input) << text.str();
  std::string command = "g++ -std=c++17 -O1 -w -shared -fPIC -o " + output + " " + input + " -L" EMULATOR_FOLDER
                        " -l:libcuda.so.1 2>" + log;
  int status = std::system(command.c_str());
  program->log = status == 0 ? report.str() : read_file(log);
  if (status == 0) program->code = read_file(output);
  std::system(("rm -rf " + base).c_str());
  return status == 0 ? 0 : 6;
}
int nvrtcGetProgramLogSize(Program *program, std::size_t *size) { *size = program->log.size() + 1; return 0; }
int nvrtcGetProgramLog(Program *program, char *log) {
  std::memcpy(log, program->log.c_str(), program->log.size() + 1);
  return 0;
}
int nvrtcGetCUBINSize(Program *program, std::size_t *size) { *size = program->code.size(); return 0; }
int nvrtcGetCUBIN(Program *program, char *code) {
  std::memcpy(code, program->code.data(), program->code.size());
  return 0;
}
const char *nvrtcGetErrorString(int) { return "NVRTC_ERROR_COMPILATION"; }
}
