// PTX instructions and wmma fragments on the CPU, as the PTX ISA describes them (chapters "Warp-level matrix
// instructions" and "Asynchronous copy"). One lane is a fiber; lanes exchange registers by shuffles.
#pragma once
#include <vector>

// Shared memory has 32-bit addresses: distances from a variable of the same library.
static char emu_shared_origin;
inline unsigned __cvta_generic_to_shared(const void *pointer) {
  return static_cast<unsigned>(static_cast<const char *>(pointer) - &emu_shared_origin);
}
inline char *emu_shared(unsigned address) { return &emu_shared_origin + static_cast<int>(address); }

// Asynchronous copies: nothing arrives before it is waited for.
struct EmuCopy { char *goal; const void *source; int bytes; bool ends_group; };
static std::vector<EmuCopy> emu_copies[1024];
inline std::vector<EmuCopy> &emu_own_copies() {
  EmuDim &t = threadIdx, &n = blockDim;
  return emu_copies[t.x + n.x * (t.y + n.y * t.z)];
}
inline void emu_copy(unsigned goal, const void *source, int bytes) {
  emu_own_copies().push_back({emu_shared(goal), source, bytes, false});
}
inline void emu_cp_async_cg_shared_global(unsigned goal, const void *source, int bytes) { emu_copy(goal, source, bytes); }
inline void emu_cp_async_ca_shared_global(unsigned goal, const void *source, int bytes) { emu_copy(goal, source, bytes); }
inline void emu_copy_if(unsigned goal, const void *source, int bytes, int wanted) {
  if (wanted == 1) emu_copy(goal, source, bytes);
  else std::memset(emu_shared(goal), 0, bytes);
}
inline void emu_cp_async_cg_shared_global(unsigned goal, const void *source, int bytes, int wanted, int) {
  emu_copy_if(goal, source, bytes, wanted);
}
inline void emu_cp_async_ca_shared_global(unsigned goal, const void *source, int bytes, int wanted, int) {
  emu_copy_if(goal, source, bytes, wanted);
}
inline void emu_cp_async_commit_group() { emu_own_copies().push_back({nullptr, nullptr, 0, true}); }
inline void emu_cp_async_wait_group(int left) {
  auto &copies = emu_own_copies();
  int groups = 0;
  for (auto &copy : copies) groups += copy.ends_group;
  std::size_t done = 0;
  for (; groups > left; done++) {
    if (copies[done].ends_group) groups--;
    else std::memcpy(copies[done].goal, copies[done].source, copies[done].bytes);
  }
  copies.erase(copies.begin(), copies.begin() + done);
}

// Element types.
struct half {
  _Float16 value;
  half() = default;
  template <class A, class = std::enable_if_t<std::is_arithmetic_v<A>>> half(A x) : value(static_cast<_Float16>(x)) {}
  operator float() const { return static_cast<float>(value); }
  // Sums across threads without shuffles go through volatile memory, as CUDA's own type allows.
  operator float() const volatile { return static_cast<float>(value); }
  half(const half &) = default;
  half(const volatile half &x) : value(x.value) {}
  half &operator=(const half &) = default;
  void operator=(half x) volatile { value = x.value; }
};
struct nv_bfloat16 {
  unsigned short bits;
  nv_bfloat16() = default;
  template <class A, class = std::enable_if_t<std::is_arithmetic_v<A>>> nv_bfloat16(A x) {
    float wide = static_cast<float>(x);
    unsigned raw;
    std::memcpy(&raw, &wide, 4);
    bits = static_cast<unsigned short>((raw + 0x7fff + (raw >> 16 & 1)) >> 16);
  }
  operator float() const {
    unsigned raw = static_cast<unsigned>(bits) << 16;
    float wide;
    std::memcpy(&wide, &raw, 4);
    return wide;
  }
};
using __half = half;
using __nv_bfloat16 = nv_bfloat16;
template <class A> struct EmuPair {
  A x, y;
  EmuPair() = default;
  EmuPair(A x, A y) : x(x), y(y) {}
};
using __half2 = EmuPair<half>;
using __nv_bfloat162 = EmuPair<nv_bfloat16>;
using half2 = __half2;
using nv_bfloat162 = __nv_bfloat162;
inline half2 make_half2(half x, half y) { return {x, y}; }
inline float __half2float(half x) { return x; }
inline half __float2half(float x) { return x; }
inline half __float2half_rn(float x) { return x; }
inline half hexp(half x) { return std::exp(float(x)); }
inline half hexp2(half x) { return std::exp2(float(x)); }
inline half hlog(half x) { return std::log(float(x)); }
inline half hsqrt(half x) { return std::sqrt(float(x)); }
inline half hrsqrt(half x) { return 1.0f / std::sqrt(float(x)); }
inline half __hmax(half x, half y) { return float(x) > float(y) ? x : y; }
inline half __hmin(half x, half y) { return float(x) < float(y) ? x : y; }
inline bool __hgt(half x, half y) { return float(x) > float(y); }
inline bool __hlt(half x, half y) { return float(x) < float(y); }
inline bool __hgt(nv_bfloat16 x, nv_bfloat16 y) { return float(x) > float(y); }
inline bool __hlt(nv_bfloat16 x, nv_bfloat16 y) { return float(x) < float(y); }
inline float __bfloat162float(nv_bfloat16 x) { return x; }
inline nv_bfloat16 __float2bfloat16(float x) { return x; }
inline float __uint_as_float(unsigned bits) { float value; std::memcpy(&value, &bits, 4); return value; }

inline void emu_cvt_rna_tf32_f32(unsigned &rounded, float x) {
  std::memcpy(&rounded, &x, 4);
  if ((rounded & 0x7f800000u) != 0x7f800000u) rounded += 0x1000u;
  rounded &= 0xffffe000u;
}

// Piece q of 8 rows of 16 bytes; lane 8q + r holds the address of its row r.
inline void emu_ldmatrix_x4(bool crosses, unsigned *registers, unsigned address) {
  int lane = emu_lane();
  for (int q = 0; q < 4; q++) {
    if (!crosses) {
      std::memcpy(&registers[q], emu_shared(emu_from_lane(address, 8 * q + lane / 4)) + lane % 4 * 4, 4);
    } else {
      unsigned short pair[2];
      for (int i = 0; i < 2; i++)
        std::memcpy(&pair[i], emu_shared(emu_from_lane(address, 8 * q + lane % 4 * 2 + i)) + lane / 4 * 2, 2);
      std::memcpy(&registers[q], pair, 4);
    }
  }
}
inline void emu_ldmatrix(bool crosses, unsigned &a, unsigned &b, unsigned &c, unsigned &d, unsigned address) {
  unsigned found[4];
  emu_ldmatrix_x4(crosses, found, address);
  a = found[0], b = found[1], c = found[2], d = found[3];
}
#define emu_ldmatrix_sync_aligned_m8n8_x4_shared_b16(...) emu_ldmatrix(false, __VA_ARGS__)
#define emu_ldmatrix_sync_aligned_m8n8_x4_trans_shared_b16(...) emu_ldmatrix(true, __VA_ARGS__)

template <class E, class S> inline S emu_element(unsigned word, int i);
template <> inline float emu_element<half, float>(unsigned word, int i) {
  half pair[2];
  std::memcpy(pair, &word, 4);
  return pair[i];
}
template <> inline float emu_element<nv_bfloat16, float>(unsigned word, int i) {
  nv_bfloat16 pair[2];
  std::memcpy(pair, &word, 4);
  return pair[i];
}
template <> inline float emu_element<float, float>(unsigned word, int) { return __uint_as_float(word & 0xffffe000u); }
template <> inline int emu_element<signed char, int>(unsigned word, int i) {
  return static_cast<signed char>(word >> 8 * i);
}

// m16n8kK, K = 8 P: registers of P elements. Lane 4g + t holds of A rows g and g + 8 and columns tP.. and
// K/2 + tP.., of B the same rows of column g, of the sums rows g and g + 8 and columns 2t and 2t + 1.
template <class E, class S, int P>
inline void emu_mma(S *sums, const unsigned *a, const unsigned *b) {
  int group = emu_lane() / 4, place = emu_lane() % 4;
  for (int half_of_terms = 0; half_of_terms < 2; half_of_terms++)
    for (int other = 0; other < 4; other++) {
      unsigned top = emu_from_lane(a[2 * half_of_terms], 4 * group + other);
      unsigned bottom = emu_from_lane(a[2 * half_of_terms + 1], 4 * group + other);
      unsigned left = emu_from_lane(b[half_of_terms], 8 * place + other);
      unsigned right = emu_from_lane(b[half_of_terms], 8 * place + 4 + other);
      for (int i = 0; i < P; i++) {
        S x = emu_element<E, S>(top, i), y = emu_element<E, S>(bottom, i);
        S l = emu_element<E, S>(left, i), r = emu_element<E, S>(right, i);
        sums[0] += x * l, sums[1] += x * r, sums[2] += y * l, sums[3] += y * r;
      }
    }
}
template <class E, class S, int P>
inline void emu_mma_wide(S &d0, S &d1, S &d2, S &d3, unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0,
                         unsigned b1, S c0, S c1, S c2, S c3) {
  S sums[4] = {c0, c1, c2, c3};
  unsigned a[4] = {a0, a1, a2, a3}, b[2] = {b0, b1};
  emu_mma<E, S, P>(sums, a, b);
  d0 = sums[0], d1 = sums[1], d2 = sums[2], d3 = sums[3];
}
inline void emu_mma_half(unsigned &d0, unsigned &d1, unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0,
                         unsigned b1, unsigned c0, unsigned c1) {
  float sums[4];
  for (int i = 0; i < 4; i++) sums[i] = emu_element<half, float>(i < 2 ? c0 : c1, i % 2);
  unsigned a[4] = {a0, a1, a2, a3}, b[2] = {b0, b1};
  emu_mma<half, float, 2>(sums, a, b);
  half rounded[4] = {sums[0], sums[1], sums[2], sums[3]};
  std::memcpy(&d0, rounded, 4);
  std::memcpy(&d1, rounded + 2, 4);
}
#define emu_mma_sync_aligned_m16n8k16_row_col_f32_f16_f16_f32 emu_mma_wide<half, float, 2>
#define emu_mma_sync_aligned_m16n8k16_row_col_f32_bf16_bf16_f32 emu_mma_wide<nv_bfloat16, float, 2>
#define emu_mma_sync_aligned_m16n8k8_row_col_f32_tf32_tf32_f32 emu_mma_wide<float, float, 1>
#define emu_mma_sync_aligned_m16n8k32_row_col_s32_s8_s8_s32 emu_mma_wide<signed char, int, 4>
#define emu_mma_sync_aligned_m16n8k16_row_col_f16_f16_f16_f16 emu_mma_half

// wmma: where the elements of a fragment are is the compiler's secret, so every lane has all of them.
namespace nvcuda { namespace wmma {
struct matrix_a {};
struct matrix_b {};
struct accumulator {};
struct row_major {};
struct col_major {};
enum layout_t { mem_row_major, mem_col_major };
template <class Use, int M, int N, int K, class T, class Layout = void> struct fragment { T element[16][16]; };
template <class Use, class T, class Layout>
void load_matrix_sync(fragment<Use, 16, 16, 16, T, Layout> &f, const T *memory, unsigned pitch) {
  for (int i = 0; i < 16; i++)
    for (int j = 0; j < 16; j++)
      f.element[i][j] = std::is_same_v<Layout, row_major> ? memory[i * pitch + j] : memory[j * pitch + i];
}
template <class T, class V> void fill_fragment(fragment<accumulator, 16, 16, 16, T> &f, V value) {
  for (auto &row : f.element)
    for (auto &element : row) element = static_cast<T>(value);
}
template <class T, class S, class LayoutA, class LayoutB>
void mma_sync(fragment<accumulator, 16, 16, 16, S> &d, const fragment<matrix_a, 16, 16, 16, T, LayoutA> &a,
              const fragment<matrix_b, 16, 16, 16, T, LayoutB> &b, const fragment<accumulator, 16, 16, 16, S> &c) {
  using Wide = std::conditional_t<std::is_same_v<S, int>, int, float>;
  for (int i = 0; i < 16; i++)
    for (int j = 0; j < 16; j++) {
      Wide sum = c.element[i][j];
      for (int k = 0; k < 16; k++) sum += static_cast<Wide>(a.element[i][k]) * static_cast<Wide>(b.element[k][j]);
      d.element[i][j] = sum;
    }
}
template <class T>
void store_matrix_sync(T *memory, const fragment<accumulator, 16, 16, 16, T> &f, unsigned pitch, layout_t) {
  for (int i = 0; i < 16; i++)
    for (int j = emu_lane(); j < 16; j += 32) memory[i * pitch + j] = f.element[i][j];
}
} }  // namespace nvcuda::wmma
