// picture.h for AVX2: eight floats at a time; the last ones of a row go through plain code.
#include "kernels/picture.h"

#if QSR_X86
#include <immintrin.h>

#include <cstring>

QSR_TARGET_AVX2
namespace qsr {
namespace {

constexpr size_t kChunkSlack = 32;

struct Pixel {
  __m128 value;

  static Pixel load(const float* from) noexcept { return {_mm_loadu_ps(from)}; }
  void store(float* to) const noexcept { _mm_storeu_ps(to, value); }
};

inline Pixel add(Pixel a, Pixel b) noexcept { return {_mm_add_ps(a.value, b.value)}; }

inline Pixel lerp(Pixel low, float low_weight, Pixel high, float high_weight) noexcept {
  return {_mm_fmadd_ps(high.value, _mm_set1_ps(high_weight), _mm_mul_ps(low.value, _mm_set1_ps(low_weight)))};
}

inline __m256 clipped(const float* t) noexcept {
  // not a number: max gives its second operand
  return _mm256_min_ps(_mm256_max_ps(_mm256_load_ps(t), _mm256_setzero_ps()), _mm256_set1_ps(1.0f));
}

inline __m256i whole(const float* t) noexcept { return _mm256_cvtps_epi32(_mm256_mul_ps(clipped(t), _mm256_set1_ps(255.0f))); }

void convert(const float* t, size_t count, uint8_t* out) noexcept {
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);  // packing works within halves
  for (size_t i = 0; i < count; i += 32) {
    const __m256i a = _mm256_packs_epi32(whole(t + i), whole(t + i + 8)), b = _mm256_packs_epi32(whole(t + i + 16), whole(t + i + 24));
    const __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(a, b), order);
    if (count - i >= 32) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), bytes);
    } else {
      alignas(32) uint8_t last[32];
      _mm256_store_si256(reinterpret_cast<__m256i*>(last), bytes);
      std::memcpy(out + i, last, count - i);
    }
  }
}

void clip(const float* t, size_t count, float* out) noexcept {
  for (size_t i = 0; i < count; i += 8) {
    if (count - i >= 8) {
      _mm256_storeu_ps(out + i, clipped(t + i));
    } else {
      alignas(32) float last[8];
      _mm256_store_ps(last, clipped(t + i));
      std::memcpy(out + i, last, sizeof(float) * (count - i));
    }
  }
}

void add_base(float* t, const float* low, float low_weight, const float* high, float high_weight, size_t count) noexcept {
  const __m256 a = _mm256_set1_ps(low_weight), b = _mm256_set1_ps(high_weight);
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m256 base = _mm256_fmadd_ps(_mm256_loadu_ps(high + i), b, _mm256_mul_ps(_mm256_loadu_ps(low + i), a));
    _mm256_store_ps(t + i, _mm256_add_ps(_mm256_load_ps(t + i), base));
  }
  for (; i < count; ++i) t[i] += __builtin_fmaf(high[i], high_weight, low[i] * low_weight);
}

#include "kernels/picture_rows.inc"

}  // namespace

extern const PictureKernels picture_avx2;
const PictureKernels picture_avx2 = {Isa::kAvx2, enlarge_row, end_bytes, end_floats};

}  // namespace qsr
QSR_TARGET_END
#endif
