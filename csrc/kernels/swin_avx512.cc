// Swin layers with AVX-512: the vocabulary of swin_portable.cc over vectors of 16 tokens.
#include "base/isa.h"

#if QSR_X86
#include <immintrin.h>

#include "kernels/swin_parts.h"

#define QSR_SWIN_INTEGERS 1
#define QSR_UNROLL _Pragma("GCC unroll 16")
#define QSR_NOINLINE __attribute__((noinline))

#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC 12 on its own _mm512_undefined_*, bug 105593
#pragma GCC diagnostic ignored "-Wuninitialized"        // the same
QSR_TARGET_AVX512

namespace qsr {
namespace {

constexpr int kLanes = 16, kTile = 4, kQueryVectors = 4;
typedef __m512 V;
typedef uint32_t I __attribute__((vector_size(64)));  // sums may wrap; conversions take them as signed

inline __m512i bits(I x) noexcept { return reinterpret_cast<__m512i>(x); }
inline I ints(__m512i x) noexcept { return reinterpret_cast<I>(x); }

inline V load(const float* p) noexcept { return _mm512_loadu_ps(p); }
inline void store(float* p, V v) noexcept { _mm512_storeu_ps(p, v); }
inline __mmask16 first_lanes(int count) noexcept { return static_cast<__mmask16>((1u << count) - 1); }
inline V load_some(const float* p, int count) noexcept { return _mm512_maskz_loadu_ps(first_lanes(count), p); }
inline void store_some(float* p, int count, V v) noexcept { _mm512_mask_storeu_ps(p, first_lanes(count), v); }
inline V splat(float x) noexcept { return _mm512_set1_ps(x); }
inline V splat_word(const uint32_t* p) noexcept { return _mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int>(*p))); }
inline V fma(V a, V b, V c) noexcept { return _mm512_fmadd_ps(a, b, c); }
inline V vmax(V a, V b) noexcept { return _mm512_max_ps(a, b); }
inline V vmin(V a, V b) noexcept { return _mm512_min_ps(a, b); }
inline V vabs(V x) noexcept { return _mm512_abs_ps(x); }
inline V vneg(V x) noexcept { return -x; }
inline V vsqrt(V x) noexcept { return _mm512_sqrt_ps(x); }
inline V vrint(V x) noexcept { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
inline V with_sign(V size, V x) noexcept { return _mm512_mask_sub_ps(size, _mm512_cmplt_ps_mask(x, splat(0.0f)), splat(0.0f), size); }
inline V where_not_less(V x, V least, V value) noexcept { return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, least, _CMP_GE_OQ), value); }
inline V times_power(V x, V n) noexcept { return _mm512_scalef_ps(x, n); }

// Four rounds of a butterfly: afterwards lane j of v[i] is lane i of what was v[j].
inline void transpose(V (&v)[kLanes]) noexcept {
  V a[kLanes], b[kLanes];
  QSR_UNROLL for (int i = 0; i < 16; i += 2) {
    a[i] = _mm512_unpacklo_ps(v[i], v[i + 1]);
    a[i + 1] = _mm512_unpackhi_ps(v[i], v[i + 1]);
  }
  QSR_UNROLL for (int i = 0; i < 16; i += 4) {  // b[i + r]: lane group g has lanes 4 g + r of v[i..i + 3]
    b[i] = _mm512_shuffle_ps(a[i], a[i + 2], 0x44);
    b[i + 1] = _mm512_shuffle_ps(a[i], a[i + 2], 0xee);
    b[i + 2] = _mm512_shuffle_ps(a[i + 1], a[i + 3], 0x44);
    b[i + 3] = _mm512_shuffle_ps(a[i + 1], a[i + 3], 0xee);
  }
  QSR_UNROLL for (int r = 0; r < 4; ++r) {  // 4 x 4 lane groups
    const V low0 = _mm512_shuffle_f32x4(b[r], b[r + 4], 0x88), high0 = _mm512_shuffle_f32x4(b[r], b[r + 4], 0xdd);
    const V low1 = _mm512_shuffle_f32x4(b[r + 8], b[r + 12], 0x88), high1 = _mm512_shuffle_f32x4(b[r + 8], b[r + 12], 0xdd);
    v[r] = _mm512_shuffle_f32x4(low0, low1, 0x88);
    v[r + 4] = _mm512_shuffle_f32x4(high0, high1, 0x88);
    v[r + 8] = _mm512_shuffle_f32x4(low0, low1, 0xdd);
    v[r + 12] = _mm512_shuffle_f32x4(high0, high1, 0xdd);
  }
}

inline I isplat(uint32_t x) noexcept { return ints(_mm512_set1_epi32(static_cast<int>(x))); }
inline I to_int(V x) noexcept { return ints(_mm512_cvtps_epi32(x)); }
inline I sign_mask(V x) noexcept { return ints(_mm512_movm_epi32(_mm512_cmplt_ps_mask(x, splat(0.0f)))); }
inline void store_int(float* p, I x) noexcept { _mm512_storeu_si512(p, bits(x)); }

// Exact: four products of 0..255 and -128..127 fit int32, as their sum over all rows does (linear_pack.h).
struct BytesDot {
  using Sum = I;
  using In = I;
  static constexpr int kVectors = kTile;
  static Sum zero() noexcept { return isplat(0); }
  static In open(const float* x) noexcept { return ints(_mm512_loadu_si512(x)); }
  static Sum add(Sum sum, In x, const uint32_t* w) noexcept {
    return ints(_mm512_dpbusd_epi32(bits(sum), bits(x), _mm512_set1_epi32(static_cast<int>(*w))));
  }
  static V value(Sum sum, int32_t start) noexcept { return _mm512_cvtepi32_ps(bits(sum + isplat(static_cast<uint32_t>(start)))); }
};
using PairsDot = BytesDot;  // choose_way() never asks for it

struct BitsDot {
  using Sum = I;
  using In = I;
  static constexpr int kVectors = kTile;
  static Sum zero() noexcept { return isplat(0); }
  static In open(const float* x) noexcept { return ints(_mm512_loadu_si512(x)); }
  static Sum add(Sum sum, In x, const uint32_t* w) noexcept {
    return sum + ints(_mm512_popcnt_epi32(_mm512_xor_si512(bits(x), _mm512_set1_epi32(static_cast<int>(*w)))));
  }
  static V value(Sum sum, int32_t start) noexcept { return _mm512_cvtepi32_ps(bits(isplat(static_cast<uint32_t>(start)) - sum - sum)); }
};

#include "kernels/transcendental.inc"
#include "kernels/linear.inc"
#include "kernels/swin.inc"

}  // namespace

extern const SwinCode swin_avx512 = {run_windows, exp2_all, gelu_all};

}  // namespace qsr

QSR_TARGET_END
#endif
