// Plain loops that a reader can check by hand: the oracle of all faster kernels. See contract.h for the mathematics.
#pragma once

#include <cstdint>

#include "kernels/contract.h"

namespace qsr {

struct ConvShape {
  int64_t batch, in_channels, height, width;           // activations: (N, C, H, W)
  int64_t out_channels, kernel_height, kernel_width;   // weights: (O, C, kh, kw)
  int64_t stride, padding;

  int64_t out_height() const noexcept { return (height + 2 * padding - kernel_height) / stride + 1; }
  int64_t out_width() const noexcept { return (width + 2 * padding - kernel_width) / stride + 1; }
};

// Refuses empty or negative sizes, a kernel larger than the padded picture, and products beyond int64.
Status check_shape(const ConvShape& shape) noexcept;

// out: (N, O, out_height, out_width) int32, owned by the caller. Activation, Weight: int8_t or uint8_t.
// Checks the shape and the accumulator bound with the magnitudes that really occur before the first product.
template <typename Activation, typename Weight>
Status conv2d(const ConvShape& shape, const Activation* activations, const Weight* weights, int32_t* out) noexcept;

}  // namespace qsr
