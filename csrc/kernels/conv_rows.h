// Convolutions one row (or a few rows) of output at a time: the interface of every fast convolution kernel.
//
// A kernel sees nothing of pictures, borders or layers. It is given kh - 1 + tile_rows rows of input, already continued by
// padding on the left and right, and computes tile_rows rows of sums. All those rows hold values that may occur (rows of padding
// above and below the picture, also where its height is no multiple of tile_rows): Winograd mixes them and cancels again,
// exactly only for integers. Who calls it (graph/, conv_picture.cc) makes the rows, and turns sums into values (epilogue.h).
// Stride 1, odd kernels, no dilation, no groups but those of one channel (depthwise).
//
//   sum[t][x][o] = sum over u < kh, v < kw, c < c_in of  row[t + u][x + v][c] * w[o][c][u][v]
//   depthwise:     sum over u < kh, v < kw           of  row[t + u][x + v][o] * w[o][u][v]      in this order, rows first
//
// Layout of an input row: pixels side by side, channels innermost; rows[r] points at the pixel that tap v = 0 of output
// x = 0 reads, that is at column x - kw / 2.
//   kBits   1 bit per channel, 1 where the sign is -1; ceil(c_in / 32) words of 32 bits, unused bits 0. A padded pixel is all
//           zeros, hence +1 to the kernel: the caller takes what that adds off the sums (`tap_sums` below).
//   kBytes  1 byte per channel: code + zero with zero = max(0, -a_min), 0..255; round_up(c_in, 32) bytes, what lies in the
//           channels behind c_in is arbitrary (weights there are 0). A padded pixel holds `zero`, code 0. The kernel's sums
//           are of codes, so it takes zero * (sum of w) off by itself.
//   kFloat  c_in floats, no gap. A padded pixel is 0.
// Layout of the sums: acc[(t * round_up(pixels, 16) + x) * acc_stride + o], int32 for kBits and kBytes, float for kFloat;
// acc_stride = c_out_padded = round_up(c_out, 16), or c_out for a kernel that says `gapless`. Sums behind c_out are
// arbitrary. acc is 64-byte aligned.
//
// Slack: a kernel may read kSlackPixels pixels and 64 bytes behind the last pixel of each row (never before its first), and
// write sums of pixels up to round_up(pixels, 16). What lies there is arbitrary memory of the caller.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/isa.h"
#include "base/status.h"

namespace qsr {

constexpr int kSlackPixels = 16;
constexpr int kMaxTileRows = 6;

enum class Input : uint8_t { kBits, kBytes, kFloat };

constexpr size_t round_up(size_t n, size_t multiple) noexcept { return (n + multiple - 1) / multiple * multiple; }

// What is convolved. a_min..a_max, w_min..w_max: codes that occur (kBits: -1..1; unused for kFloat).
struct RowConv {
  Input input = Input::kFloat;
  int c_in = 0, c_out = 0, kh = 0, kw = 0;
  int a_min = 0, a_max = 0, w_min = 0, w_max = 0;
  bool depthwise = false;  // kFloat, c_in == c_out

  size_t weights() const noexcept {
    return static_cast<size_t>(c_out) * static_cast<size_t>(depthwise ? 1 : c_in) * static_cast<size_t>(kh * kw);
  }
  int zero() const noexcept { return input == Input::kBytes && a_min < 0 ? -a_min : 0; }
  size_t c_out_padded() const noexcept { return round_up(static_cast<size_t>(c_out), 16); }
  size_t pixel_bytes() const noexcept {
    const size_t c = static_cast<size_t>(c_in);
    return input == Input::kBits ? round_up(c, 32) / 8 : input == Input::kBytes ? round_up(c, 32) : 4 * c;
  }
};

// RowKernel::scratch_bytes of a kernel that needs none.
inline size_t no_scratch(const RowConv&, int) noexcept { return 0; }

struct RowKernel {
  const char* name;  // conv_<act><weight>[_how]_<isa>, for instance conv_b1b1_avx512, conv_u4s4_wino2_avx2
  Isa isa;
  Input input;
  int tile_rows;  // rows of output per call, 1..kMaxTileRows
  // Whether it computes this convolution exactly (kFloat: within 1e-5 of the largest |sum|). Ranges decide as well as shapes.
  bool (*accepts)(const RowConv&) noexcept;
  size_t (*packed_bytes)(const RowConv&) noexcept;
  // weights: (c_out, c_in, kh, kw), depthwise (c_out, kh, kw), in C order; int16_t for kBits (-1, +1) and kBytes, float for
  // kFloat. packed: 64-byte aligned.
  void (*pack)(const RowConv&, const void* weights, void* packed) noexcept;
  size_t (*scratch_bytes)(const RowConv&, int pixels) noexcept;  // of one call; may be 0
  // scratch: 64-byte aligned, arbitrary contents. Several threads may run with the same packed weights.
  void (*run)(const RowConv&, const void* packed, const uint8_t* const* rows, int pixels, void* acc, void* scratch) noexcept;
  // kFloat only: no padding behind the outputs of a pixel, where few of them would leave most of it as it was. Integers of
  // another layer are denormal floats, and one of those among 16 lanes costs an epilogue 100 cycles.
  bool gapless = false;
  bool depthwise = false;  // computes depthwise convolutions, and no others

  // Whether it is a kernel for this convolution at all; `accepts` is asked only then.
  bool fits(const RowConv& conv) const noexcept { return input == conv.input && depthwise == conv.depthwise && accepts(conv); }
  size_t acc_stride(const RowConv& conv) const noexcept { return gapless ? static_cast<size_t>(conv.c_out) : conv.c_out_padded(); }
};

// All kernels, best first within an instruction set; the best instruction set first.
const RowKernel* const* row_kernels(size_t* count) noexcept;

// The first kernel that accepts `conv` and needs no more than `limit`; nullptr never comes back for checked convolutions,
// the portable kernels accept all of them.
const RowKernel* select_row_kernel(const RowConv& conv, Isa limit) noexcept;

// Refuses what no kernel takes: extents, ranges of codes, int32 overflow (contract.h part 3). kBytes: a_max + zero <= 255.
Status check_row_conv(const RowConv& conv) noexcept;

// kBits: sums[tap][o] = sum over c of w[o][c][tap], tap = u * kw + v, c_out_padded numbers each: what a padded tap adds.
void tap_sums(const RowConv& conv, const int16_t* weights, int32_t* sums) noexcept;

}  // namespace qsr
