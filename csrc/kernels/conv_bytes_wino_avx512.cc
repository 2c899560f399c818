// 3x3 convolutions of few-bit codes for AVX-512 (VNNI): exact integer Winograd (wino_rows.h) on vpdpbusd.
//
// Measured per core at 64 to 64 channels on a Zen 4, where vpdpbusd does 230 GMAC/s: 4x3 590, 2x4 530, 2x3 485, 2x2 410, that is
// 71 to 79 % of what these products allow; the direct kernel 221. Tables by vpermb for 2 bits could not pass 555 there.
#include "kernels/conv_rows.h"

#if QSR_X86
QSR_TARGET_AVX512
#include "kernels/dot_avx512.h"
#include "kernels/wino_int.h"
#include "kernels/wino_rows.h"

namespace qsr {
namespace {

struct Avx512 {
  static constexpr bool kFolds = true;
  typedef uint8_t Bytes __attribute__((vector_size(64)));
  typedef uint32_t Ints __attribute__((vector_size(64), may_alias));

  static size_t steps(const RowConv& conv) noexcept { return round_up(static_cast<size_t>(conv.c_in), 4) / 4; }
  static size_t slot(size_t step, size_t o, size_t outputs, size_t) noexcept { return step * outputs + o; }

  static void products(const Products& p) noexcept {
    static_assert(kTiles % dot_rows(2) == 0 && dot_rows(2) == dot_rows(1), "whole groups");
    for (int tile = 0; tile < p.tiles; tile += dot_rows(2)) {
      const uint8_t* v = p.v + static_cast<size_t>(tile) * p.v_stride;
      const DotCall call{&v, 1, static_cast<int64_t>(p.steps), static_cast<int64_t>(p.v_stride), p.weights, p.init,
                         p.m + static_cast<size_t>(tile) * p.m_stride, static_cast<int64_t>(4 * p.m_stride)};
      p.outputs == kOutputs ? dot<2, false>(call) : dot<1, false>(call);
    }
  }

  static size_t fold_slot(size_t step, size_t down, size_t o, size_t outputs) noexcept { return (step * 4 + down) * outputs + o; }

  static void fold(const Products& p) noexcept {
    static_assert(kTiles % kFoldRows == 0, "whole groups");
    for (int tile = 0; tile < p.tiles; tile += kFoldRows) {
      const size_t at = static_cast<size_t>(tile);
      const FoldCall call{p.v + at * p.v_stride, static_cast<int64_t>(p.v_down), static_cast<int64_t>(p.v_stride), static_cast<int64_t>(p.steps),
                          p.weights, p.init, static_cast<int64_t>(4 * p.init_down), p.m + at * p.m_stride,
                          static_cast<int64_t>(4 * p.m_stride), static_cast<int64_t>(4 * p.m_down)};
      p.outputs == kOutputs ? dot_fold<2>(call) : dot_fold<1>(call);
    }
  }
};

// With fewer than `least` channels the transforms cost more than they save.
template <int MV, int MH, int least>
bool accepts(const RowConv& conv) noexcept { return conv.c_in >= least && Tile<MV, MH>::fits(conv); }

template <int MV, int MH, int least>
constexpr RowKernel kernel(const char* name) noexcept {
  using Rows = WinogradRows<Avx512, MV, MH>;
  return {name, Isa::kAvx512, Input::kBytes, MV, accepts<MV, MH, least>, Rows::packed_bytes, Rows::pack, Rows::scratch_bytes, Rows::run};
}

}  // namespace

extern const RowKernel conv_u2s2_wino4x3_avx512 = kernel<4, 3, 40>("conv_u2s2_wino4x3_avx512");
extern const RowKernel conv_u3s3_wino2x4_avx512 = kernel<2, 4, 16>("conv_u3s3_wino2x4_avx512");
extern const RowKernel conv_u4s3_wino2x3_avx512 = kernel<2, 3, 16>("conv_u4s3_wino2x3_avx512");
extern const RowKernel conv_u4s4_wino2x2_avx512 = kernel<2, 2, 16>("conv_u4s4_wino2x2_avx512");

}  // namespace qsr
QSR_TARGET_END
#endif
