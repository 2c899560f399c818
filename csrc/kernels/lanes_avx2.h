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
// As load, but into a register: as an operand of each of its uses, GCC would read it as often from memory.
inline F load_once(const float* from) noexcept {
  F x = load(from);
  asm("" : "+x"(x));
  return x;
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

// In both halves: parts of the sums of a, b, c and d.
inline F halves(const F* x) noexcept {
  const F ab = add(_mm256_blend_ps(x[0], x[1], 0xcc), _mm256_shuffle_ps(x[0], x[1], 0x4e));  // a a b b
  const F cd = add(_mm256_blend_ps(x[2], x[3], 0xcc), _mm256_shuffle_ps(x[2], x[3], 0x4e));
  return add(_mm256_shuffle_ps(ab, cd, 0x88), _mm256_shuffle_ps(ab, cd, 0xdd));
}

// out[i] = sum over the lanes of x[i], i < n, a multiple of 4
template <int n>
inline __attribute__((always_inline)) void fold(const F* x, float* out) noexcept {
  int i = 0;
#pragma GCC unroll 1
  for (; i + 8 <= n; i += 8) {
    const F a = halves(x + i), b = halves(x + i + 4);
    store(out + i, add(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31)));
  }
  if constexpr (n % 8 != 0) {
    const F a = halves(x + i);
    _mm_storeu_ps(out + i, _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1)));
  }
}

}  // namespace
}  // namespace qsr
