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
// As load, but into a register: as an operand of each of its uses, GCC would read it as often from memory.
inline F load_once(const float* from) noexcept {
  F x = load(from);
  asm("" : "+v"(x));
  return x;
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

// In every 128 bits: parts of the sums of a, b, c and d.
inline F quarters(F a, F b, F c, F d) noexcept {
  const F ab = add(_mm512_mask_blend_ps(0xcccc, a, b), _mm512_shuffle_ps(a, b, 0x4e));  // a a b b
  const F cd = add(_mm512_mask_blend_ps(0xcccc, c, d), _mm512_shuffle_ps(c, d, 0x4e));
  return add(_mm512_shuffle_ps(ab, cd, 0x88), _mm512_shuffle_ps(ab, cd, 0xdd));
}

// In the lower and the upper half: two parts of the sums of four vectors each.
inline F halves(const F* x) noexcept {
  const F a = quarters(x[0], x[1], x[2], x[3]), b = quarters(x[4], x[5], x[6], x[7]);
  return add(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
}

// out[i] = sum over the lanes of x[i], i < n, a multiple of 8
template <int n>
inline __attribute__((always_inline)) void fold(const F* x, float* out) noexcept {
  int i = 0;
#pragma GCC unroll 2
  for (; i + 16 <= n; i += 16) {
    const F a = halves(x + i), b = halves(x + i + 8);
    store(out + i, add(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd)));
  }
  if constexpr (n % 16 != 0) {
    const F a = halves(x + i);
    _mm256_storeu_ps(out + i, _mm512_castps512_ps256(add(_mm512_shuffle_f32x4(a, a, 0x88), _mm512_shuffle_f32x4(a, a, 0xdd))));
  }
}

}  // namespace
}  // namespace qsr
