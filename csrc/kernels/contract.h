// The contract of every kernel in this folder. reference.cc is its plain reading; whatever comes faster is checked against it.
//
// 1. Codes
//   A tensor is stored as integer codes q of b bits, b = 1..8. x_hat = scale * q (plus a shift that belongs to the epilogue):
//   there are no zero points, so code 0 is the value 0.
//     unsigned: 0 <= q <= 2^b - 1          signed: -2^(b-1) <= q <= 2^(b-1) - 1 (two's complement)
//   Sign codes (-1, +1) are not this layout's business: a binary method stores the bit unsigned and gives it its meaning.
//
// 2. Integer convolution (cross-correlation, NCHW, no groups, no dilation)
//     y[n, o, i, j] = sum over c, u, v of  a[n, c, i*s + u - p, j*s + v - p] * w[o, c, u, v]
//   with stride s >= 1, zero padding p >= 0, and a = 0 outside the picture: padding happens in the code domain and
//   contributes nothing. Output size: (H + 2p - kh) / s + 1 by (W + 2p - kw) / s + 1, rounded down, at least 1.
//
// 3. Accumulators are int32, and exact
//   With K = C * kh * kw terms per output, every partial sum, in whatever order, is bounded by K * max|a| * max|w|.
//   A kernel runs only if   K * max|a| * max|w| <= 2^31 - 1;   otherwise the data is refused (Code::kFormat).
//   Under that bound int32 cannot wrap, hence any order of summation gives the same integers.
//   Worst case of 8-bit codes: 255 * 128 = 32640, so K <= 65793. The largest K of a 3x3 convolution with 64 channels is 576.
//
// 4. Canonical bit layout, independent of any instruction set
//   Element i occupies the bits [i*b, i*b + b) of the stream, least significant bit first; bit k of the stream is bit
//   k % 8 of byte k / 8. Signed codes store their low b bits. The stream has exactly ceil(count * b / 8) bytes, and the
//   bits behind the last element are zero: one tensor has one encoding.
//     b = 2, codes 1 2 3 0 1   ->   bytes 0b00'11'10'01, 0b000000'01
#pragma once

#include <cstdint>

#include "base/status.h"

namespace qsr {

constexpr int kMinBits = 1;
constexpr int kMaxBits = 8;
constexpr int64_t kMaxAccumulator = INT32_MAX;

// The bound of part 3, with magnitudes >= 0 and terms >= 1.
Status check_accumulator(int64_t terms, int64_t max_activation, int64_t max_weight) noexcept;

}  // namespace qsr
