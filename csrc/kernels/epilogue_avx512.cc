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
  static constexpr int kMost = 4;
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
  template <int n>
  static void codes(const F* v, const CodeSink& sink, uint8_t* target) noexcept {
    // min gives its second operand for NaN; what int32 does not hold, NaN too, becomes -2^31, and `lowest` below
    const F highest = _mm512_set1_ps(static_cast<float>(sink.highest));
    I code[n];
    for (int b = 0; b < n; ++b) code[b] = _mm512_cvtps_epi32(_mm512_min_ps(highest, v[b]));
    const I lowest = _mm512_set1_epi16(static_cast<int16_t>(sink.lowest)), zero = _mm512_set1_epi16(static_cast<int16_t>(sink.zero));
    const auto pair = [&](I a, I b) noexcept { return _mm512_add_epi16(_mm512_max_epi16(_mm512_packs_epi32(a, b), lowest), zero); };
    // the packs work within quarters: of each block 4 codes, then the next block's 4; doublewords are put in order last
    if constexpr (n == 4) {
      const I bytes = _mm512_packus_epi16(pair(code[0], code[1]), pair(code[2], code[3]));
      const I order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
      _mm512_storeu_si512(target, _mm512_permutexvar_epi32(order, bytes));
    } else {
      const I bytes = _mm512_packus_epi16(pair(code[0], code[n - 1]), _mm512_setzero_si512());
      const I order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 0, 0, 0, 0, 0, 0, 0, 0);
      const __m256i ordered = _mm512_castsi512_si256(_mm512_permutexvar_epi32(order, bytes));
      if constexpr (n == 2) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(target), ordered);
      } else {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(target), _mm256_castsi256_si128(ordered));
      }
    }
  }
};

}  // namespace

void epilogue_avx512(const Epilogue& e, const EpilogueCall& call) noexcept { run_epilogue<Avx512>(e, call); }

}  // namespace qsr
QSR_TARGET_END
#endif
