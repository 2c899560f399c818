#include "kernels/conv_rows.h"

#include <algorithm>
#include <cstring>

#include "kernels/contract.h"

namespace qsr {

#define QSR_ROW_KERNEL(name) extern const RowKernel name;
#include "kernels/table.inc"
#undef QSR_ROW_KERNEL

namespace {
const RowKernel* const kKernels[] = {
#define QSR_ROW_KERNEL(name) &name,
#include "kernels/table.inc"
#undef QSR_ROW_KERNEL
};
}  // namespace

const RowKernel* const* row_kernels(size_t* count) noexcept {
  *count = sizeof(kKernels) / sizeof(kKernels[0]);
  return kKernels;
}

const RowKernel* select_row_kernel(const RowConv& conv, Isa limit) noexcept {
  for (const RowKernel* kernel : kKernels) {
    if (kernel->isa <= limit && isa_supported(kernel->isa) && kernel->fits(conv)) return kernel;
  }
  return nullptr;
}

Status check_row_conv(const RowConv& c) noexcept {
  constexpr int kMaxChannels = 1 << 16;
  const bool odd = c.kh > 0 && c.kw > 0 && c.kh % 2 == 1 && c.kw % 2 == 1 && c.kh <= 15 && c.kw <= 15;
  if (c.c_in < 1 || c.c_out < 1 || c.c_in > kMaxChannels || c.c_out > kMaxChannels || !odd) {
    return failure(Code::kFormat, "convolution: found %d to %d channels, kernel %dx%d, expected 1 to %d channels, odd sides up to 15",
                   c.c_in, c.c_out, c.kh, c.kw, kMaxChannels);
  }
  if (c.depthwise && (c.input != Input::kFloat || c.c_in != c.c_out)) {
    return failure(Code::kFormat, "depthwise convolution: found %d to %d channels, expected as many floats", c.c_in, c.c_out);
  }
  if (c.input == Input::kFloat) return {};
  if (c.a_min > 0 || c.a_max < 0 || int64_t{c.a_max} - c.a_min > 255 || c.w_min > 0 || c.w_max < 0 || c.w_min < -256 || c.w_max > 255) {
    return failure(Code::kFormat, "convolution: found codes %d..%d and weights %d..%d, expected 256 codes around 0 and 9 bits", c.a_min,
                   c.a_max, c.w_min, c.w_max);
  }
  // the sums that a kernel goes through are of stored bytes, code + zero
  const int64_t terms = int64_t{c.c_in} * c.kh * c.kw;
  return check_accumulator(terms, int64_t{c.a_max} + c.zero(), std::max<int64_t>(-int64_t{c.w_min}, c.w_max));
}

void tap_sums(const RowConv& conv, const int16_t* weights, int32_t* sums) noexcept {
  const int taps = conv.kh * conv.kw;
  const size_t padded = conv.c_out_padded();
  std::memset(sums, 0, sizeof(int32_t) * padded * static_cast<size_t>(taps));
  for (int o = 0; o < conv.c_out; ++o) {
    for (int c = 0; c < conv.c_in; ++c) {
      for (int tap = 0; tap < taps; ++tap) sums[static_cast<size_t>(tap) * padded + static_cast<size_t>(o)] += *weights++;
    }
  }
}

}  // namespace qsr
