// Depthwise convolutions for the instruction set whose lanes are included before: lanes are channels.
//
// kDeepPixels pixels side by side keep their sums in registers, so that a tap's weights are loaded once for all of them. Each
// sum is made of its own taps in their order, by one multiply-add each: no tile, thread or instruction set changes it.
// Weights: [tap][c_out_padded], zeros behind the channels.
#pragma once

#include <cstring>

#include "kernels/conv_rows.h"

namespace qsr {
namespace {

constexpr int kDeepPixels = 8;  // divides 16: the row's slack makes every block a full one
static_assert(kDeepPixels + 2 <= kRegisters);

inline bool accept_depthwise(const RowConv&) noexcept { return true; }

inline size_t depthwise_bytes(const RowConv& conv) noexcept {
  return sizeof(float) * static_cast<size_t>(conv.kh * conv.kw) * conv.c_out_padded();
}

inline void pack_depthwise(const RowConv& conv, const void* weights, void* packed) noexcept {
  const float* source = static_cast<const float*>(weights);
  float* target = static_cast<float*>(packed);
  const size_t padded = conv.c_out_padded(), taps = static_cast<size_t>(conv.kh * conv.kw);
  std::memset(packed, 0, depthwise_bytes(conv));
  for (size_t c = 0; c < static_cast<size_t>(conv.c_out); ++c) {
    for (size_t tap = 0; tap < taps; ++tap) target[tap * padded + c] = *source++;
  }
}

// The channels first..first + kLanes - 1 of one block of pixels; rest: how many of them there are, 0: all.
inline __attribute__((always_inline)) void deep_block(const RowConv& conv, const float* w, const uint8_t* const* rows, size_t at, size_t rest, float* out) noexcept {
  const size_t channels = static_cast<size_t>(conv.c_out), padded = conv.c_out_padded();
  F sums[kDeepPixels];
#pragma GCC unroll 8
  for (int x = 0; x < kDeepPixels; ++x) sums[x] = zero();
  for (int u = 0; u < conv.kh; ++u) {
    const float* pixel = reinterpret_cast<const float*>(rows[u]) + at;
    for (int v = 0; v < conv.kw; ++v, w += padded, pixel += channels) {
      const F by = load(w);
#pragma GCC unroll 8
      for (int x = 0; x < kDeepPixels; ++x) {
        const float* a = pixel + static_cast<size_t>(x) * channels;
        sums[x] = fma(rest == 0 ? load(a) : load_first(a, rest), by, sums[x]);  // what lies behind may be no number
      }
    }
  }
#pragma GCC unroll 8
  for (int x = 0; x < kDeepPixels; ++x) store(out + static_cast<size_t>(x) * padded, sums[x]);
}

inline void run_depthwise(const RowConv& conv, const void* packed, const uint8_t* const* rows, int pixels, void* acc, void*) noexcept {
  const size_t channels = static_cast<size_t>(conv.c_out), padded = conv.c_out_padded(), whole = channels / kLanes * kLanes;
  const float* weights = static_cast<const float*>(packed);
  float* sums = static_cast<float*>(acc);
  for (int x = 0; x < pixels; x += kDeepPixels) {
    const size_t at = static_cast<size_t>(x);
    for (size_t c = 0; c < whole; c += kLanes) deep_block(conv, weights + c, rows, at * channels + c, 0, sums + at * padded + c);
    if (whole < channels) deep_block(conv, weights + whole, rows, at * channels + whole, channels - whole, sums + at * padded + whole);
  }
}

}  // namespace
}  // namespace qsr
