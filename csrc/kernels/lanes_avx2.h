// Vectors of floats for code that is written once and compiled for two instruction sets: here 8 lanes of AVX2.
// Include behind QSR_TARGET_AVX2.
#pragma once

#include <cstddef>
#include <cstdint>

namespace qsr {
namespace {

using F = __m256;
constexpr size_t kLanes = 8;
constexpr int kRegisters = 16;

inline F load(const float* from) noexcept { return _mm256_loadu_ps(from); }
inline F load_first(const float* from, size_t count) noexcept {  // 0 behind `count` < kLanes; reads no further
  alignas(32) static const int32_t ones[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
  return _mm256_maskload_ps(from, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(ones + 8 - count)));
}
inline void store(float* to, F x) noexcept { _mm256_storeu_ps(to, x); }
inline F broadcast(const float* from) noexcept { return _mm256_broadcast_ss(from); }
inline F constant(float value) noexcept { return _mm256_set1_ps(value); }
inline F zero() noexcept { return _mm256_setzero_ps(); }
inline F add(F a, F b) noexcept { return _mm256_add_ps(a, b); }
inline F sub(F a, F b) noexcept { return _mm256_sub_ps(a, b); }
inline F mul(F a, F b) noexcept { return _mm256_mul_ps(a, b); }
inline F fma(F a, F b, F c) noexcept { return _mm256_fmadd_ps(a, b, c); }    // a b + c
inline F fnma(F a, F b, F c) noexcept { return _mm256_fnmadd_ps(a, b, c); }  // c - a b

// out[i * stride + j] = sum over the lanes of x[i][j], i < 4, j < 3; out[i * stride + 3] = 0
inline void fold(const F (*x)[3], float* out, size_t stride) noexcept {
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const F two = add(_mm256_unpacklo_ps(x[i][0], x[i][1]), _mm256_unpackhi_ps(x[i][0], x[i][1]));
    const F one = add(_mm256_unpacklo_ps(x[i][2], zero()), _mm256_unpackhi_ps(x[i][2], zero()));
    const F half = add(_mm256_shuffle_ps(two, one, 0x44), _mm256_shuffle_ps(two, one, 0xee));
    _mm_storeu_ps(out + static_cast<size_t>(i) * stride, _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
  }
}

}  // namespace
}  // namespace qsr
