#include "kernels/reference.h"

#include <algorithm>
#include <cinttypes>

#include "base/checked.h"

namespace qsr {
namespace {

// Sizes beyond this are no picture and no network; below it, sums such as height + 2 * padding cannot overflow.
constexpr int64_t kMaxExtent = int64_t{1} << 40;

template <typename T>
int64_t largest_magnitude(const T* values, int64_t count) noexcept {
  int64_t largest = 0;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t value = values[i];
    largest = std::max(largest, value < 0 ? -value : value);
  }
  return largest;
}

}  // namespace

Status check_accumulator(int64_t terms, int64_t max_activation, int64_t max_weight) noexcept {
  int64_t bound = 0;
  if (!checked_product({terms, max_activation, max_weight}, &bound) || bound > kMaxAccumulator) {
    return failure(Code::kFormat,
                   "int32 accumulator could overflow: %" PRId64 " terms x %" PRId64 " x %" PRId64 ", expected at most %" PRId64,
                   terms, max_activation, max_weight, kMaxAccumulator);
  }
  return {};
}

Status check_shape(const ConvShape& s) noexcept {
  const int64_t positive[] = {s.batch,        s.in_channels,   s.height,       s.width,
                              s.out_channels, s.kernel_height, s.kernel_width, s.stride};
  for (int64_t extent : positive) {
    if (extent < 1 || extent > kMaxExtent) {
      return failure(Code::kArgument, "convolution: found an extent or stride of %" PRId64 ", expected 1 to 2^40", extent);
    }
  }
  if (s.padding < 0 || s.padding > kMaxExtent) {
    return failure(Code::kArgument, "convolution: found padding %" PRId64 ", expected 0 to 2^40", s.padding);
  }
  if (s.height + 2 * s.padding < s.kernel_height || s.width + 2 * s.padding < s.kernel_width) {
    return failure(Code::kArgument,
                   "convolution: a %" PRId64 "x%" PRId64 " kernel does not fit into a %" PRId64 "x%" PRId64
                   " picture with padding %" PRId64,
                   s.kernel_height, s.kernel_width, s.height, s.width, s.padding);
  }
  int64_t unused = 0;
  const bool fits = checked_product({s.batch, s.in_channels, s.height, s.width}, &unused) &&
                    checked_product({s.out_channels, s.in_channels, s.kernel_height, s.kernel_width}, &unused) &&
                    checked_product({s.batch, s.out_channels, s.out_height(), s.out_width(), 4}, &unused);
  if (!fits) return failure(Code::kArgument, "convolution: a tensor of more than 2^63 bytes");
  return {};
}

template <typename Activation, typename Weight>
Status conv2d(const ConvShape& s, const Activation* activations, const Weight* weights, int32_t* out) noexcept {
  if (Status status = check_shape(s); !status.ok()) return status;
  const int64_t terms = s.in_channels * s.kernel_height * s.kernel_width;
  const int64_t max_activation = largest_magnitude(activations, s.batch * s.in_channels * s.height * s.width);
  const int64_t max_weight = largest_magnitude(weights, s.out_channels * terms);
  if (Status status = check_accumulator(terms, max_activation, max_weight); !status.ok()) return status;

  const int64_t out_height = s.out_height();
  const int64_t out_width = s.out_width();
  for (int64_t n = 0; n < s.batch; ++n) {
    for (int64_t o = 0; o < s.out_channels; ++o) {
      for (int64_t i = 0; i < out_height; ++i) {
        for (int64_t j = 0; j < out_width; ++j) {
          int32_t sum = 0;
          for (int64_t c = 0; c < s.in_channels; ++c) {
            for (int64_t u = 0; u < s.kernel_height; ++u) {
              const int64_t y = i * s.stride + u - s.padding;
              if (y < 0 || y >= s.height) continue;  // a padded row is code 0
              for (int64_t v = 0; v < s.kernel_width; ++v) {
                const int64_t x = j * s.stride + v - s.padding;
                if (x < 0 || x >= s.width) continue;
                const int32_t a = activations[((n * s.in_channels + c) * s.height + y) * s.width + x];
                const int32_t w = weights[((o * s.in_channels + c) * s.kernel_height + u) * s.kernel_width + v];
                sum += a * w;
              }
            }
          }
          out[((n * s.out_channels + o) * out_height + i) * out_width + j] = sum;
        }
      }
    }
  }
  return {};
}

template Status conv2d(const ConvShape&, const int8_t*, const int8_t*, int32_t*) noexcept;
template Status conv2d(const ConvShape&, const int8_t*, const uint8_t*, int32_t*) noexcept;
template Status conv2d(const ConvShape&, const uint8_t*, const int8_t*, int32_t*) noexcept;
template Status conv2d(const ConvShape&, const uint8_t*, const uint8_t*, int32_t*) noexcept;

}  // namespace qsr
