// What the direct convolutions of bytes share, whatever the instruction set.
//
// Include before QSR_TARGET_...: of an inline function the linker keeps one copy, which has to run on every processor.
#pragma once

#include "kernels/conv_rows.h"

namespace qsr {

constexpr int kMaxSide = 15;  // of a kernel, by check_row_conv: for arrays of its rows and taps

// Bytes of a row that a kernel of words widens into scratch, and of all rows of a call.
inline size_t word_row(const RowConv& conv, int pixels) noexcept {
  return 2 * conv.pixel_bytes() * (round_up(static_cast<size_t>(pixels), 16) + static_cast<size_t>(conv.kw - 1));
}

inline size_t words_scratch(const RowConv& conv, int pixels) noexcept { return static_cast<size_t>(conv.kh) * word_row(conv, pixels); }

}  // namespace qsr
