// Epilogue on AVX-512: a block of 16 channels is one register.
#include "base/isa.h"
#if QSR_X86
#include <immintrin.h>

#include <cstring>

#include "kernels/epilogue.h"

#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC 12 on its own _mm512_undefined_*, bug 105593
QSR_TARGET_AVX512
#include "kernels/epilogue_loop.h"

namespace qsr {
namespace {

struct Avx512 {
  using F = __m512;
  using I = __m512i;
  static F load(const float* p) noexcept { return _mm512_loadu_ps(p); }
  static F set(float value) noexcept { return _mm512_set1_ps(value); }
  static I load_int(const int32_t* p) noexcept { return _mm512_loadu_si512(p); }
  static F to_float(I v) noexcept { return _mm512_cvtepi32_ps(v); }
  static F load_some(const float* p, int n) noexcept { return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p); }
  static void store(float* p, F v) noexcept { _mm512_storeu_ps(p, v); }
  static void store_some(float* p, F v, int n) noexcept { _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), v); }
  static F fma(F a, F b, F c) noexcept { return _mm512_fmadd_ps(a, b, c); }
  static F add(F a, F b) noexcept { return _mm512_add_ps(a, b); }
  static F mul(F a, F b) noexcept { return _mm512_mul_ps(a, b); }
  static F prelu(F t, F slope) noexcept {
    return _mm512_mask_mul_ps(t, _mm512_cmp_ps_mask(t, _mm512_setzero_ps(), _CMP_LT_OQ), t, slope);
  }
  static uint32_t negative(F t) noexcept { return _mm512_cmp_ps_mask(t, _mm512_setzero_ps(), _CMP_LT_OQ); }
  static uint32_t less(I a, I b) noexcept { return _mm512_cmplt_epi32_mask(a, b); }
  static void codes(F v, float lowest, float highest, int zero, uint8_t* target) noexcept {
    // max gives its second operand for NaN: `lowest`, as everywhere; clipped first, a conversion cannot overflow
    const F clipped = _mm512_min_ps(_mm512_max_ps(v, _mm512_set1_ps(lowest)), _mm512_set1_ps(highest));
    const I code = _mm512_add_epi32(_mm512_cvtps_epi32(clipped), _mm512_set1_epi32(zero));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(target), _mm512_cvtepi32_epi8(code));
  }
};

}  // namespace

void epilogue_avx512(const Epilogue& e, const EpilogueCall& call) noexcept { run_epilogue<Avx512>(e, call); }

}  // namespace qsr
QSR_TARGET_END
#endif
