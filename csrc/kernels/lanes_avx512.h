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
inline float sum(F a) noexcept { return _mm512_reduce_add_ps(a); }

}  // namespace
}  // namespace qsr
