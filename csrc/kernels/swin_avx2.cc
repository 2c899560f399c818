// Swin layers with AVX2: the vocabulary of swin_portable.cc over vectors of 8 tokens.
#include "base/isa.h"

#if QSR_X86
#include <immintrin.h>

#include "kernels/swin_parts.h"

#define QSR_SWIN_INTEGERS 1
#define QSR_UNROLL _Pragma("GCC unroll 16")
#define QSR_NOINLINE __attribute__((noinline))

QSR_TARGET_AVX2

namespace qsr {
namespace {

constexpr int kLanes = 8, kTile = 2, kQueryVectors = 2;
typedef __m256 V;
typedef uint32_t I __attribute__((vector_size(32)));  // sums may wrap; conversions take them as signed

inline __m256i bits(I x) noexcept { return reinterpret_cast<__m256i>(x); }
inline I ints(__m256i x) noexcept { return reinterpret_cast<I>(x); }
inline __m256i load_bits(const float* p) noexcept { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }

inline __m256i first_lanes(int count) noexcept {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
inline V load(const float* p) noexcept { return _mm256_loadu_ps(p); }
inline void store(float* p, V v) noexcept { _mm256_storeu_ps(p, v); }
inline V load_some(const float* p, int count) noexcept { return _mm256_maskload_ps(p, first_lanes(count)); }
inline void store_some(float* p, int count, V v) noexcept { _mm256_maskstore_ps(p, first_lanes(count), v); }
inline V splat(float x) noexcept { return _mm256_set1_ps(x); }
inline V splat_word(const uint32_t* p) noexcept { return _mm256_castsi256_ps(_mm256_set1_epi32(static_cast<int>(*p))); }
inline V fma(V a, V b, V c) noexcept { return _mm256_fmadd_ps(a, b, c); }
inline V vmax(V a, V b) noexcept { return _mm256_max_ps(a, b); }
inline V vmin(V a, V b) noexcept { return _mm256_min_ps(a, b); }
inline V vabs(V x) noexcept { return _mm256_andnot_ps(splat(-0.0f), x); }
inline V vneg(V x) noexcept { return _mm256_xor_ps(splat(-0.0f), x); }
inline V vsqrt(V x) noexcept { return _mm256_sqrt_ps(x); }
inline V vrint(V x) noexcept { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
inline V less(V a, V b) noexcept { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
inline V with_sign(V size, V x) noexcept { return _mm256_blendv_ps(size, vneg(size), less(x, splat(0.0f))); }
inline V where_not_less(V x, V least, V value) noexcept { return _mm256_and_ps(_mm256_cmp_ps(x, least, _CMP_GE_OQ), value); }
inline V times_power(V x, V n) noexcept {
  const __m256i power = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
  return x * _mm256_castsi256_ps(power);
}

// Three rounds: afterwards lane j of v[i] is lane i of what was v[j].
inline void transpose(V (&v)[kLanes]) noexcept {
  V a[kLanes], b[kLanes];
  QSR_UNROLL for (int i = 0; i < 8; i += 2) {
    a[i] = _mm256_unpacklo_ps(v[i], v[i + 1]);
    a[i + 1] = _mm256_unpackhi_ps(v[i], v[i + 1]);
  }
  QSR_UNROLL for (int i = 0; i < 8; i += 4) {
    b[i] = _mm256_shuffle_ps(a[i], a[i + 2], 0x44);
    b[i + 1] = _mm256_shuffle_ps(a[i], a[i + 2], 0xee);
    b[i + 2] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0x44);
    b[i + 3] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0xee);
  }
  QSR_UNROLL for (int r = 0; r < 4; ++r) {
    v[r] = _mm256_permute2f128_ps(b[r], b[r + 4], 0x20);
    v[r + 4] = _mm256_permute2f128_ps(b[r], b[r + 4], 0x31);
  }
}

inline I isplat(uint32_t x) noexcept { return ints(_mm256_set1_epi32(static_cast<int>(x))); }
inline I to_int(V x) noexcept { return ints(_mm256_cvtps_epi32(x)); }
inline I sign_mask(V x) noexcept { return ints(_mm256_castps_si256(less(x, splat(0.0f)))); }
inline void store_int(float* p, I x) noexcept { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), bits(x)); }

// Sums of products of channels 0 and 1, 2 and 3 of all rows in int16: choose_way() saw that rows * 2 * max u * max |w| fits.
struct BytesDot {
  using Sum = I;
  using In = I;
  static constexpr int kVectors = kTile;
  static Sum zero() noexcept { return isplat(0); }
  static In open(const float* x) noexcept { return ints(load_bits(x)); }
  static Sum add(Sum sum, In x, const uint32_t* w) noexcept {
    I products;  // GCC 12 would make all products first, and spill twelve sums for them
    asm("vpmaddubsw %[w], %[x], %[p]\n\tvpaddw %[p], %[s], %[s]"
        : [s] "+x"(sum), [p] "=&x"(products)
        : [x] "x"(x), [w] "x"(isplat(*w)));
    return sum;
  }
  static V value(Sum sum, int32_t start) noexcept {
    return _mm256_cvtepi32_ps(bits(ints(_mm256_madd_epi16(bits(sum), _mm256_set1_epi16(1))) + isplat(static_cast<uint32_t>(start))));
  }
};

// Products of 0..255 and -128..127 and their sums fit int32 (linear_pack.h).
struct PairsDot {
  using Sum = I;
  using In = I;
  static constexpr int kVectors = kTile;
  static Sum zero() noexcept { return isplat(0); }
  static In open(const float* x) noexcept { return ints(load_bits(x)); }
  static Sum add(Sum sum, In x, const uint32_t* w) noexcept {
    I products;  // as above
    asm("vpmaddwd %[w], %[x], %[p]\n\tvpaddd %[p], %[s], %[s]"
        : [s] "+x"(sum), [p] "=&x"(products)
        : [x] "x"(x), [w] "x"(isplat(*w)));
    return sum;
  }
  static V value(Sum sum, int32_t start) noexcept { return _mm256_cvtepi32_ps(bits(sum + isplat(static_cast<uint32_t>(start)))); }
};

// Counts of each byte by a table of nibbles, at most 8 per row, summed in bytes: choose_way() allows 31 rows.
struct BitsDot {
  using Sum = I;
  using In = I;
  static constexpr int kVectors = 1;  // 6 sums, what a count needs beside them, and nothing spilled
  static Sum zero() noexcept { return isplat(0); }
  static In open(const float* x) noexcept { return ints(load_bits(x)); }
  static Sum add(Sum sum, In x, const uint32_t* w) noexcept {
    const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i low = _mm256_set1_epi8(15), u = _mm256_xor_si256(bits(x), _mm256_set1_epi32(static_cast<int>(*w)));
    const __m256i count = _mm256_add_epi8(_mm256_shuffle_epi8(table, _mm256_and_si256(u, low)),
                                          _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(u, 4), low)));
    return ints(_mm256_add_epi8(bits(sum), count));
  }
  static V value(Sum sum, int32_t start) noexcept {
    const __m256i pairs = _mm256_maddubs_epi16(bits(sum), _mm256_set1_epi8(1));  // <= 496
    const I all = ints(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    return _mm256_cvtepi32_ps(bits(isplat(static_cast<uint32_t>(start)) - all - all));
  }
};

#include "kernels/transcendental.inc"
#include "kernels/linear.inc"
#include "kernels/swin.inc"

}  // namespace

extern const SwinCode swin_avx2 = {run_windows, exp2_all, gelu_all};

}  // namespace qsr

QSR_TARGET_END
#endif
