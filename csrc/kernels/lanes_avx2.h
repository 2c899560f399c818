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
inline float sum(F a) noexcept {
  __m128 half = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  half = _mm_add_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}

}  // namespace
}  // namespace qsr
