// Float convolutions, direct, Winograd and depthwise, for AVX2.
#include "kernels/conv_rows.h"

#if QSR_X86
#include <immintrin.h>

#include <cmath>
#include <cstring>
#include <utility>

#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC 12 on its own _mm512_undefined_*, bug 105593
QSR_TARGET_AVX2
#include "kernels/lanes_avx2.h"

#include "kernels/conv_depthwise.h"
#include "kernels/conv_float_few.h"
#include "kernels/conv_float_rows.h"
#include "kernels/conv_float_wino.h"

namespace qsr {

extern const RowKernel conv_float_avx2 = {
    "conv_f32_avx2", Isa::kAvx2, Input::kFloat, 1, accept_any, direct_bytes, pack_direct, no_scratch, run_direct};
extern const RowKernel conv_float_few_avx2 = {
    "conv_f32_few_avx2", Isa::kAvx2, Input::kFloat, 1, accept_few, few_bytes, pack_few, no_scratch, run_few, true};
extern const RowKernel conv_float_wino_avx2 = {
    "conv_f32_wino4_avx2", Isa::kAvx2, Input::kFloat, kTile, accept_wino, wino_bytes, pack_wino, wino_scratch, run_wino};
extern const RowKernel conv_depthwise_avx2 = {"conv_f32_depthwise_avx2", Isa::kAvx2, Input::kFloat, 1, accept_depthwise, depthwise_bytes,
                                              pack_depthwise, no_scratch, run_depthwise, false, true};

}  // namespace qsr
QSR_TARGET_END
#endif
