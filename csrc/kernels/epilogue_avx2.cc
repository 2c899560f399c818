// Epilogue on AVX2: a block of 16 channels is two registers.
#include "base/isa.h"
#if QSR_X86
#include <immintrin.h>

#include <cstring>

#include "kernels/epilogue.h"

QSR_TARGET_AVX2
#include "kernels/epilogue_loop.h"

namespace qsr {
namespace {

struct Avx2 {
  struct F {
    __m256 lo, hi;
  };
  struct I {
    __m256i lo, hi;
  };
  static F load(const float* p) noexcept { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  static F set(float value) noexcept { return {_mm256_set1_ps(value), _mm256_set1_ps(value)}; }
  static I load_int(const int32_t* p) noexcept {
    return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)), _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 8))};
  }
  static F to_float(I v) noexcept { return {_mm256_cvtepi32_ps(v.lo), _mm256_cvtepi32_ps(v.hi)}; }
  static F load_some(const float* p, int n) noexcept {  // vmaskmov takes a dozen times as long to store, so neither uses it
    float all[16] = {};
    std::memcpy(all, p, sizeof(float) * static_cast<size_t>(n));
    return load(all);
  }
  static void store(float* p, F v) noexcept {
    _mm256_storeu_ps(p, v.lo);
    _mm256_storeu_ps(p + 8, v.hi);
  }
  static void store_some(float* p, F v, int n) noexcept {
    float all[16];
    store(all, v);
    std::memcpy(p, all, sizeof(float) * static_cast<size_t>(n));
  }
  static F fma(F a, F b, F c) noexcept { return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)}; }
  static F add(F a, F b) noexcept { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
  static F mul(F a, F b) noexcept { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
  static __m256 below_zero(__m256 t) noexcept { return _mm256_cmp_ps(t, _mm256_setzero_ps(), _CMP_LT_OQ); }
  static F prelu(F t, F slope) noexcept {
    return {_mm256_blendv_ps(t.lo, _mm256_mul_ps(t.lo, slope.lo), below_zero(t.lo)),
            _mm256_blendv_ps(t.hi, _mm256_mul_ps(t.hi, slope.hi), below_zero(t.hi))};
  }
  static uint32_t pair(__m256 lo, __m256 hi) noexcept {
    return static_cast<uint32_t>(_mm256_movemask_ps(lo)) | static_cast<uint32_t>(_mm256_movemask_ps(hi)) << 8;
  }
  static uint32_t negative(F t) noexcept { return pair(below_zero(t.lo), below_zero(t.hi)); }
  static uint32_t less(I a, I b) noexcept {
    return pair(_mm256_castsi256_ps(_mm256_cmpgt_epi32(b.lo, a.lo)), _mm256_castsi256_ps(_mm256_cmpgt_epi32(b.hi, a.hi)));
  }
  static __m256i code(__m256 v, float lowest, float highest, int zero) noexcept {
    // max gives its second operand for NaN: `lowest`, as everywhere; clipped first, a conversion cannot overflow
    const __m256 clipped = _mm256_min_ps(_mm256_max_ps(v, _mm256_set1_ps(lowest)), _mm256_set1_ps(highest));
    return _mm256_add_epi32(_mm256_cvtps_epi32(clipped), _mm256_set1_epi32(zero));
  }
  static void codes(F v, float lowest, float highest, int zero, uint8_t* target) noexcept {
    // packs works within halves: codes 0-3, 8-11, 4-7, 12-15 -> quarters put in order -> bytes
    const __m256i words = _mm256_packs_epi32(code(v.lo, lowest, highest, zero), code(v.hi, lowest, highest, zero));
    const __m256i ordered = _mm256_permute4x64_epi64(words, 0xd8);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(target),
                     _mm_packus_epi16(_mm256_castsi256_si128(ordered), _mm256_extracti128_si256(ordered, 1)));
  }
};

}  // namespace

void epilogue_avx2(const Epilogue& e, const EpilogueCall& call) noexcept { run_epilogue<Avx2>(e, call); }

}  // namespace qsr
QSR_TARGET_END
#endif
