// Float convolutions with one to three outputs, as at the end of a network: lanes are inputs, not outputs, since a vector of
// 16 padded outputs would be mostly zeros. For the instruction set whose lanes are included before.
//
// The taps v of a row and their channels are one run of kw * c_in floats (conv_float_rows.h): each sum is kh dot products of
// such runs. kFewPixels pixels and O outputs are kept in registers and folded across lanes at the end, which leaves them side
// by side.
// Weights: [u][vector of the run][O][kLanes], zeros behind the run.
#pragma once

#include <cstring>

#include "kernels/conv_rows.h"

namespace qsr {
namespace {

constexpr int kMaxFew = 3;
constexpr int kFewPixels = kRegisters == 32 ? 8 : 4;  // divides 16: the row's slack makes every block a full one
static_assert(kFewPixels * kMaxFew + 4 <= kRegisters);

inline size_t few_vectors(const RowConv& conv) noexcept { return round_up(static_cast<size_t>(conv.kw * conv.c_in), kLanes) / kLanes; }

inline bool accept_few(const RowConv& conv) noexcept {
  return conv.input == Input::kFloat && conv.c_out <= kMaxFew && conv.kw * conv.c_in >= 16;
}

inline size_t few_bytes(const RowConv& conv) noexcept {
  return sizeof(float) * static_cast<size_t>(conv.kh) * few_vectors(conv) * static_cast<size_t>(conv.c_out) * kLanes;
}

inline void pack_few(const RowConv& conv, const void* weights, void* packed) noexcept {
  const float* source = static_cast<const float*>(weights);
  float* target = static_cast<float*>(packed);
  std::memset(packed, 0, few_bytes(conv));
  const size_t c_in = static_cast<size_t>(conv.c_in), c_out = static_cast<size_t>(conv.c_out), kw = static_cast<size_t>(conv.kw);
  const size_t row = few_vectors(conv) * c_out * kLanes;
  for (size_t o = 0; o < c_out; ++o) {
    for (size_t c = 0; c < c_in; ++c) {
      for (size_t u = 0; u < static_cast<size_t>(conv.kh); ++u) {
        for (size_t v = 0; v < kw; ++v) {
          const size_t at = v * c_in + c;
          target[u * row + (at / kLanes * c_out + o) * kLanes + at % kLanes] = *source++;
        }
      }
    }
  }
}

template <int O>
inline __attribute__((always_inline)) void few_step(F (&sums)[kFewPixels * O], const float* w, const float* pixel, size_t c_in) noexcept {
  F weights[O];
#pragma GCC unroll 3
  for (int o = 0; o < O; ++o) weights[o] = load(w + static_cast<size_t>(o) * kLanes);
#pragma GCC unroll 8
  for (int x = 0; x < kFewPixels; ++x) {
    const F a = load_once(pixel + static_cast<size_t>(x) * c_in);
#pragma GCC unroll 3
    for (int o = 0; o < O; ++o) sums[x * O + o] = fma(a, weights[o], sums[x * O + o]);
  }
}

// The last `rest` inputs of a run: what lies behind may be no number, and is taken as 0.
template <int O>
inline __attribute__((always_inline)) void few_rest(F (&sums)[kFewPixels * O], const float* w, const float* pixel, size_t c_in, size_t rest) noexcept {
#pragma GCC unroll 8
  for (int x = 0; x < kFewPixels; ++x) {
    const F a = load_first(pixel + static_cast<size_t>(x) * c_in, rest);
#pragma GCC unroll 3
    for (int o = 0; o < O; ++o) sums[x * O + o] = fma(a, load(w + static_cast<size_t>(o) * kLanes), sums[x * O + o]);
  }
}

template <int O>
void few_row(const RowConv& conv, const float* packed, const uint8_t* const* rows, int pixels, float* acc) noexcept {
  const size_t c_in = static_cast<size_t>(conv.c_in), run = static_cast<size_t>(conv.kw) * c_in;
  const size_t whole = run / kLanes, rest = run % kLanes;
  for (int x = 0; x < pixels; x += kFewPixels, acc += kFewPixels * O) {
    F sums[kFewPixels * O];
#pragma GCC unroll 24
    for (int i = 0; i < kFewPixels * O; ++i) sums[i] = zero();
    const float* w = packed;
    for (int u = 0; u < conv.kh; ++u) {
      const float* pixel = reinterpret_cast<const float*>(rows[u]) + static_cast<size_t>(x) * c_in;
      for (size_t k = 0; k < whole; ++k, w += O * kLanes, pixel += kLanes) few_step<O>(sums, w, pixel, c_in);
      if (rest == 0) continue;
      few_rest<O>(sums, w, pixel, c_in, rest);
      w += O * kLanes;
    }
    fold<kFewPixels * O>(sums, acc);
  }
}

inline void run_few(const RowConv& conv, const void* packed, const uint8_t* const* rows, int pixels, void* acc, void*) noexcept {
  const float* weights = static_cast<const float*>(packed);
  float* sums = static_cast<float*>(acc);
  if (conv.c_out == 1) return few_row<1>(conv, weights, rows, pixels, sums);
  if (conv.c_out == 2) return few_row<2>(conv, weights, rows, pixels, sums);
  return few_row<3>(conv, weights, rows, pixels, sums);
}

}  // namespace
}  // namespace qsr
