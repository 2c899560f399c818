// Direct float convolutions, one row at a time, for the instruction set whose lanes are included before.
//
// Pixels have no gaps, hence the taps v of one row and their channels are one run of kw * c_in floats: a convolution is kh
// products of (pixels, kw * c_in), overlapping rows c_in floats apart, and (kw * c_in, outputs).
// Weights: blocks of up to kMaxVectors vectors of outputs, [block][u][v][c][outputs of the block].
#pragma once

#include "kernels/conv_rows.h"
#include "kernels/float_block.h"

namespace qsr {
namespace {

inline size_t direct_bytes(const RowConv& conv) noexcept {
  return sizeof(float) * static_cast<size_t>(conv.kh * conv.kw) * static_cast<size_t>(conv.c_in) * conv.c_out_padded();
}

inline void pack_direct(const RowConv& conv, const void* weights, void* packed) noexcept {
  const float* source = static_cast<const float*>(weights);
  float* target = static_cast<float*>(packed);
  const size_t taps = static_cast<size_t>(conv.kh * conv.kw);
  const size_t c_in = static_cast<size_t>(conv.c_in), c_out = static_cast<size_t>(conv.c_out);
  over_registers(0, conv.c_out_padded(), [&](size_t first, size_t width) {
    for (size_t tap = 0; tap < taps; ++tap) {
      for (size_t c = 0; c < c_in; ++c) {
        for (size_t o = first; o < first + width; ++o) *target++ = o < c_out ? source[(o * c_in + c) * taps + tap] : 0.0f;
      }
    }
  });
}

inline void run_direct(const RowConv& conv, const void* packed, const uint8_t* const* rows, int pixels, void* acc, void*) noexcept {
  const size_t padded = conv.c_out_padded(), c_in = static_cast<size_t>(conv.c_in);
  const float* segments[15];
  for (int u = 0; u < conv.kh; ++u) segments[u] = reinterpret_cast<const float*>(rows[u]);
  Product p{segments, conv.kh, conv.kw * conv.c_in, c_in, static_cast<const float*>(packed), nullptr, padded};
  over_registers(0, padded, [&](size_t first, size_t width) {
    p.out = static_cast<float*>(acc) + first;
    multiply_rows(p, static_cast<int>(width / kLanes), pixels);
    p.weights += static_cast<size_t>(conv.kh * p.depth) * width;
  });
}

inline bool accept_any(const RowConv& conv) noexcept { return conv.input == Input::kFloat; }

}  // namespace
}  // namespace qsr
