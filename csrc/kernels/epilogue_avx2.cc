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
  static constexpr int kMost = 2;
  static F load(const float* p) noexcept { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  static F set(float value) noexcept { return {_mm256_set1_ps(value), _mm256_set1_ps(value)}; }
  static I load_int(const int32_t* p) noexcept {
    return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)), _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 8))};
  }
  static F to_float(I v) noexcept { return {_mm256_cvtepi32_ps(v.lo), _mm256_cvtepi32_ps(v.hi)}; }
  static F load_some(const float* p, int n) noexcept {  // storing by vmaskmov is slow on some processors; neither uses it
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
  // 16 codes as int16: 0-3, 8-11, 4-7, 12-15
  static __m256i words(F v, const CodeSink& sink) noexcept {
    // min gives its second operand for NaN; what int32 does not hold, NaN too, becomes -2^31, and `lowest` here
    const __m256 highest = _mm256_set1_ps(static_cast<float>(sink.highest));
    const __m256i lo = _mm256_cvtps_epi32(_mm256_min_ps(highest, v.lo)), hi = _mm256_cvtps_epi32(_mm256_min_ps(highest, v.hi));
    const __m256i lowest = _mm256_set1_epi16(static_cast<int16_t>(sink.lowest));
    return _mm256_add_epi16(_mm256_max_epi16(_mm256_packs_epi32(lo, hi), lowest), _mm256_set1_epi16(static_cast<int16_t>(sink.zero)));
  }
  template <int n>
  static void codes(const F* v, const CodeSink& sink, uint8_t* target) noexcept {
    // the packs work within halves: of each eight codes 4, then the next eight's 4; doublewords are put in order last
    const __m256i bytes = _mm256_packus_epi16(words(v[0], sink), n == 2 ? words(v[n - 1], sink) : _mm256_setzero_si256());
    const __m256i ordered = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    if constexpr (n == 2) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(target), ordered);
    } else {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(target), _mm256_castsi256_si128(ordered));
    }
  }
};

}  // namespace

void epilogue_avx2(const Epilogue& e, const EpilogueCall& call) noexcept { run_epilogue<Avx2>(e, call); }

}  // namespace qsr
QSR_TARGET_END
#endif
