// Rows at the two ends of a network: bytes or floats of the picture to features, and features to bytes or floats again.
//
// Pixels have kPictureChannels channels side by side. Nothing here knows of padding: callers place rows where they want them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/isa.h"

namespace qsr {

constexpr int kPictureChannels = 3;
constexpr int kMaxEnlargement = 8;

// --- the first end: out[x][c] = value * scale[c] + offset[c], the product rounded before the sum
// The value of a byte is float(byte) / 255, rounded as a division. scale, offset: kPictureChannels floats, or nullptr: 1, 0.
struct ByteValues {
  float value[kPictureChannels][256];
};
void byte_values(const float* scale, const float* offset, ByteValues* values) noexcept;
void picture_row(const uint8_t* row, int pixels, const ByteValues& values, float* out) noexcept;
void picture_row(const float* row, int pixels, const float* scale, const float* offset, float* out) noexcept;

// --- bilinear enlargement (packed/ops.py: half-pixel centres, the border repeated)
// Position i of the enlarged axis is low_weight * [low] + high_weight * [high]. The weights of position f q + p depend on p
// alone, not on where the picture begins: a tile that has a pixel of context gives what the whole picture gives.
struct BilinearTap {
  int32_t low, high;
  float low_weight, high_weight;
};
// size >= 1; factor 1..kMaxEnlargement; taps: size * factor of them.
void bilinear_taps(int size, int factor, BilinearTap* taps) noexcept;

// --- the last end: one row of the enlarged picture
//   t = values[x][(c * factor + line) * factor + i] + bias[(c * factor + line) * factor + i]      (PixelShuffle; factor 1: none)
//   t = t + (low * low_weight + high * high_weight)    if `low`; the second product and the inner sum are one operation
//   clip to [0, 1], not a number: 0;   bytes: x 255, rounded half to even
struct PictureEnd {
  const float* values = nullptr;  // `pixels` pixels; 16 bytes behind the last one may be read
  size_t stride = 0;              // floats between pixels, >= kPictureChannels * factor * factor
  int pixels = 0;                 // of `values`; the row made has pixels * factor
  int factor = 1, line = 0;       // 1..kMaxEnlargement, 0..factor - 1
  const float* bias = nullptr;    // kPictureChannels * factor * factor; nullptr: 0
  const float* low = nullptr;     // two rows of enlarge_row, pixels * factor pixels each; both or none
  const float* high = nullptr;
  float low_weight = 1.0f, high_weight = 0.0f;  // of the BilinearTap of this row
};

// Every instruction set computes the same numbers.
struct PictureKernels {
  Isa isa;
  // (., channels) -> (count, channels) along a row by `count` taps. Reads 4 bytes behind the last pixel of `row` and writes
  // 4 bytes behind the last one of `out`.
  void (*enlarge_row)(const float* row, const BilinearTap* taps, int count, float* out) noexcept;
  void (*end_bytes)(const PictureEnd& end, uint8_t* out) noexcept;  // exactly pixels * factor * channels bytes
  void (*end_floats)(const PictureEnd& end, float* out) noexcept;   // so many floats
};

// The best kernels up to `limit` that this machine runs.
const PictureKernels& picture_kernels(Isa limit) noexcept;

}  // namespace qsr
