// One kernel over a whole picture: what tests and benchmarks of single kernels call. Networks run through graph/.
#pragma once

#include "kernels/conv_rows.h"

namespace qsr {

// activations: (height, width, c_in), int16_t codes (kBits: -1, +1), or float; weights as in RowKernel::pack.
// out: (height, width, c_out), int32_t or float. `repeat` runs of the kernel over the prepared rows; *seconds is the fastest
// one's time (sums only: no packing). Fails with kArgument where the kernel does not accept `conv`, kMemory where memory runs out.
Status conv_picture(const RowKernel& kernel, const RowConv& conv, const void* activations, const void* weights, int height, int width,
                    int repeat, void* out, double* seconds) noexcept;

}  // namespace qsr
