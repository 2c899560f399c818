// 3x3 convolutions of few-bit codes for AVX2: exact integer Winograd (wino_rows.h) on vpmaddubsw.
//
// Each position has its own bound of |U V|, and with it its own number of products that are added as int16 (dot_avx2.h): at
// 4 bits and 2x2 the four middle ones allow 2 results (2 * 2 * 60 * 72 = 17280), the others 4 (8 * 60 * 48 = 23040).
//
// Measured per core at 64 to 64 channels on a Zen 4: 2x4 335 GMAC/s at 2 bits and 310 at 3, 2x3 285, 2x2 258; direct 148. Tables
// by vpshufb do at most 310 to 360 there at 2 bits (155 to 181 G lookups), before they are filled and their bytes widened.
#include "kernels/conv_rows.h"

#if QSR_X86
QSR_TARGET_AVX2
#include "kernels/dot_avx2.h"
#include "kernels/wino_int.h"
#include "kernels/wino_rows.h"

namespace qsr {
namespace {

struct Avx2 {
  static constexpr bool kFolds = false;
  typedef uint8_t Bytes __attribute__((vector_size(32)));
  typedef uint32_t Ints __attribute__((vector_size(32), may_alias));

  // In whole turns of four. Weights behind c_in are 0; a tile of V has a multiple of 32 bytes, no step lies beyond it.
  static size_t steps(const RowConv& conv) noexcept { return round_up(static_cast<size_t>(conv.c_in), 16) / 4; }
  static size_t slot(size_t step, size_t o, size_t, size_t steps) noexcept { return (o / 8 * steps + step) * 8 + o % 8; }

  static void products(const Products& p) noexcept {
    static_assert(kTiles % kDotRows == 0, "whole groups");
    const int most = flush(p.most);
    const auto dot = most == 4 ? dot_bytes<4> : most == 2 ? dot_bytes<2> : dot_bytes<1>;
    for (size_t o = 0; o < p.outputs; o += 8) {
      for (int tile = 0; tile < p.tiles; tile += kDotRows) {
        const uint8_t* v = p.v + static_cast<size_t>(tile) * p.v_stride;
        const DotCall call{&v, 1, static_cast<int64_t>(p.steps / 4), static_cast<int64_t>(p.v_stride), p.weights + 4 * p.steps * o,
                           p.init + o, p.m + static_cast<size_t>(tile) * p.m_stride + o, static_cast<int64_t>(4 * p.m_stride)};
        dot(call);
      }
    }
  }
};

constexpr int kLeastChannels = 8;  // with fewer the transforms cost more than they save

template <int MV, int MH>
bool accepts(const RowConv& conv) noexcept {
  using T = Tile<MV, MH>;
  if (conv.c_in < kLeastChannels || !T::fits(conv)) return false;
  for (int k = 0; k < T::kPositions; ++k) {
    if (flush(T::most(k, conv)) == 0) return false;
  }
  return true;
}

template <int MV, int MH>
constexpr RowKernel kernel(const char* name) noexcept {
  using Rows = WinogradRows<Avx2, MV, MH>;
  return {name, Isa::kAvx2, Input::kBytes, MV, accepts<MV, MH>, Rows::packed_bytes, Rows::pack, Rows::scratch_bytes, Rows::run};
}

}  // namespace

extern const RowKernel conv_u3s3_wino2x4_avx2 = kernel<2, 4>("conv_u3s3_wino2x4_avx2");
extern const RowKernel conv_u4s3_wino2x3_avx2 = kernel<2, 3>("conv_u4s3_wino2x3_avx2");
extern const RowKernel conv_u4s4_wino2x2_avx2 = kernel<2, 2>("conv_u4s4_wino2x2_avx2");

}  // namespace qsr
QSR_TARGET_END
#endif
