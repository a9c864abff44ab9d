// What generated CUDA source needs to be C++: included before it.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstddef>
#include <cstring>
#include <type_traits>
#include <utility>

struct EmuDim { unsigned x, y, z; };
extern "C" {
EmuDim *emu_thread_index();
EmuDim *emu_block_index();
EmuDim *emu_block_extent();
EmuDim *emu_grid_extent();
void emu_barrier();
unsigned long long emu_shuffle(unsigned long long value, int lane);
}

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __shared__ alignas(128) static
#define __launch_bounds__(...)
#define __ldg(pointer) (*(pointer))
#define threadIdx (*emu_thread_index())
#define blockIdx (*emu_block_index())
#define blockDim (*emu_block_extent())
#define gridDim (*emu_grid_extent())
#define __syncthreads() emu_barrier()
#define __syncwarp(...) ((void)0)
#define __activemask() 0xffffffffu
#define INFINITY_F HUGE_VALF
#define __align__(bytes) __attribute__((aligned(bytes)))

struct alignas(8) float2 { float x, y; };
struct float3 { float x, y, z; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) int2 { int x, y; };
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline float __int_as_float(int bits) { float value; std::memcpy(&value, &bits, 4); return value; }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __powf(float x, float y) { return std::pow(x, y); }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
template <class A> inline A max(A x, A y) { return x > y ? x : y; }
template <class A> inline A min(A x, A y) { return x < y ? x : y; }

template <class A> inline A emu_from_lane(A value, int lane) {
  unsigned long long raw = 0;
  std::memcpy(&raw, &value, sizeof(A));
  raw = emu_shuffle(raw, lane);
  std::memcpy(&value, &raw, sizeof(A));
  return value;
}
inline int emu_lane() {
  EmuDim &t = threadIdx, &n = blockDim;
  return static_cast<int>((t.x + n.x * (t.y + n.y * t.z)) % 32);
}
template <class A> inline A __shfl_sync(unsigned, A value, int lane, int width = 32) {
  return emu_from_lane(value, (emu_lane() & ~(width - 1)) + (lane & (width - 1)));
}
template <class A> inline A __shfl_down_sync(unsigned, A value, int delta, int width = 32) {
  int lane = emu_lane();
  return emu_from_lane(value, (lane & (width - 1)) + delta < width ? lane + delta : lane);
}
template <class A> inline A __shfl_xor_sync(unsigned, A value, int mask, int = 32) {
  return emu_from_lane(value, emu_lane() ^ mask);
}

#include "ptx.h"

template <class... A, std::size_t... I>
void emu_apply(void (*kernel)(A...), void **arguments, std::index_sequence<I...>) {
  kernel(*static_cast<std::remove_cv_t<A> *>(arguments[I])...);
}
template <class... A> void emu_apply(void (*kernel)(A...), void **arguments) {
  emu_apply(kernel, arguments, std::index_sequence_for<A...>{});
}
