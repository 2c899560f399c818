// Vectors of floats for code that is written once and compiled for two instruction sets: here 16 lanes of AVX-512.
// Include behind QSR_TARGET_AVX512.
#pragma once

#include <cstddef>

namespace qsr {
namespace {

using F = __m512;
constexpr size_t kLanes = 16;
constexpr int kRegisters = 32;

inline F load(const float* from) noexcept { return _mm512_loadu_ps(from); }
inline F load_first(const float* from, size_t count) noexcept {  // 0 behind `count` < kLanes; reads no further
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), from);
}
inline void store(float* to, F x) noexcept { _mm512_storeu_ps(to, x); }
inline F broadcast(const float* from) noexcept { return _mm512_set1_ps(*from); }
inline F constant(float value) noexcept { return _mm512_set1_ps(value); }
inline F zero() noexcept { return _mm512_setzero_ps(); }
inline F add(F a, F b) noexcept { return _mm512_add_ps(a, b); }
inline F sub(F a, F b) noexcept { return _mm512_sub_ps(a, b); }
inline F mul(F a, F b) noexcept { return _mm512_mul_ps(a, b); }
inline F fma(F a, F b, F c) noexcept { return _mm512_fmadd_ps(a, b, c); }    // a b + c
inline F fnma(F a, F b, F c) noexcept { return _mm512_fnmadd_ps(a, b, c); }  // c - a b

// out[i * stride + j] = sum over the lanes of x[i][j], i < 4, j < 3; out[i * stride + 3] = 0
inline void fold(const F (*x)[3], float* out, size_t stride) noexcept {
  F quarter[4];  // every 128 bits: part of the three sums of pixel i, and 0
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const F two = add(_mm512_unpacklo_ps(x[i][0], x[i][1]), _mm512_unpackhi_ps(x[i][0], x[i][1]));
    const F one = add(_mm512_unpacklo_ps(x[i][2], zero()), _mm512_unpackhi_ps(x[i][2], zero()));
    quarter[i] = add(_mm512_shuffle_ps(two, one, 0x44), _mm512_shuffle_ps(two, one, 0xee));
  }
  const F a = add(_mm512_shuffle_f32x4(quarter[0], quarter[1], 0x44), _mm512_shuffle_f32x4(quarter[0], quarter[1], 0xee));
  const F b = add(_mm512_shuffle_f32x4(quarter[2], quarter[3], 0x44), _mm512_shuffle_f32x4(quarter[2], quarter[3], 0xee));
  const F sums = add(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
  _mm_storeu_ps(out, _mm512_castps512_ps128(sums));
  _mm_storeu_ps(out + stride, _mm512_extractf32x4_ps(sums, 1));
  _mm_storeu_ps(out + 2 * stride, _mm512_extractf32x4_ps(sums, 2));
  _mm_storeu_ps(out + 3 * stride, _mm512_extractf32x4_ps(sums, 3));
}

}  // namespace
}  // namespace qsr
