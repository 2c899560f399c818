// picture.h for AVX-512: sixteen floats at a time, remainders under a mask.
#include "kernels/picture.h"

#if QSR_X86
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC 12 on its own _mm512_undefined_*, bug 105593
#endif
#include <immintrin.h>

#include <cstring>

QSR_TARGET_AVX512
namespace qsr {
namespace {

constexpr size_t kChunkSlack = 16;

struct Pixel {
  __m128 value;

  static Pixel load(const float* from) noexcept { return {_mm_loadu_ps(from)}; }
  void store(float* to) const noexcept { _mm_storeu_ps(to, value); }
};

inline Pixel add(Pixel a, Pixel b) noexcept { return {_mm_add_ps(a.value, b.value)}; }

inline Pixel lerp(Pixel low, float low_weight, Pixel high, float high_weight) noexcept {
  return {_mm_fmadd_ps(high.value, _mm_set1_ps(high_weight), _mm_mul_ps(low.value, _mm_set1_ps(low_weight)))};
}

inline __mmask16 rest(size_t count) noexcept { return static_cast<__mmask16>(count >= 16 ? 0xffff : (1u << count) - 1); }

inline __m512 clipped(const float* t) noexcept {
  // not a number: max gives its second operand
  return _mm512_min_ps(_mm512_max_ps(_mm512_load_ps(t), _mm512_setzero_ps()), _mm512_set1_ps(1.0f));
}

void convert(const float* t, size_t count, uint8_t* out) noexcept {
  for (size_t i = 0; i < count; i += 16) {
    const __m512i whole = _mm512_cvtps_epi32(_mm512_mul_ps(clipped(t + i), _mm512_set1_ps(255.0f)));
    _mm_mask_storeu_epi8(out + i, rest(count - i), _mm512_cvtepi32_epi8(whole));
  }
}

void clip(const float* t, size_t count, float* out) noexcept {
  for (size_t i = 0; i < count; i += 16) _mm512_mask_storeu_ps(out + i, rest(count - i), clipped(t + i));
}

void add_base(float* t, const float* low, float low_weight, const float* high, float high_weight, size_t count) noexcept {
  const __m512 a = _mm512_set1_ps(low_weight), b = _mm512_set1_ps(high_weight);
  for (size_t i = 0; i < count; i += 16) {
    const __mmask16 mask = rest(count - i);
    const __m512 base = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(mask, high + i), b, _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, low + i), a));
    _mm512_store_ps(t + i, _mm512_add_ps(_mm512_load_ps(t + i), base));
  }
}

#include "kernels/picture_rows.inc"

}  // namespace

extern const PictureKernels picture_avx512;
const PictureKernels picture_avx512 = {Isa::kAvx512, enlarge_row, end_bytes, end_floats};

}  // namespace qsr
QSR_TARGET_END
#endif
