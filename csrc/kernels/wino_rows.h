// Rows of 3x3 convolutions by exact integer Winograd, for any instruction set with a product of bytes. See wino_int.h.
//
// A call takes MV rows of output. Blocks of kTiles tiles at a time: bytes to V (all positions), then for each block of 32
// outputs one small matrix product per position into M, and M to sums. V is made once for all outputs; M and the weights of
// a block stay in L1 and L2.
//
// `Set` has the vectors Bytes and Ints (unsigned, for sums modulo 2^32; their width is a multiple of 32 bytes), and
//   steps(conv)                     groups of 4 channels that a product takes
//   slot(step, o, outputs, steps)   where the 4 weights of output o of a block are, in units of 4 bytes
//   products(call)                  M of one position for `tiles` tiles; may compute up to kTiles
//   kFolds                          whether for MV = 2 it makes M of the four positions of a column at once and adds them up as
//   fold_slot, fold(call)           Winograd<2>::output does, so that M has 2 rows instead of 4
//
// Include behind QSR_TARGET_... and wino_int.h.
#pragma once

#include <cstring>

#include "kernels/conv_rows.h"

namespace qsr {
namespace {

constexpr int kTiles = 24;       // of one block
constexpr size_t kOutputs = 32;  // of one block; a last one may have 16

// What Set::products is given: M[tile][o] = init[o] + sum over steps of dot(4 bytes of V[tile], 4 weights of o). Set::fold:
// so for each of the 4 positions of a column; y0 to m and y1 m_down behind.
struct Products {
  const uint8_t* v;
  size_t v_stride;  // bytes per tile
  const uint8_t* weights;
  const int32_t* init;
  int32_t* m;
  size_t m_stride;  // int32 per tile
  int tiles;
  size_t outputs, steps;
  int most;                          // largest |V U| at this position
  size_t v_down, init_down, m_down;  // for Set::fold: bytes, int32, int32
};

template <class Set, int MV, int MH>
struct WinogradRows {
  using T = Tile<MV, MH>;
  using Bytes = typename Set::Bytes;
  using Ints = typename Set::Ints;
  typedef int32_t Signed __attribute__((vector_size(sizeof(Ints))));
  static constexpr size_t kBytes = sizeof(Bytes), kInts = sizeof(Ints) / 4;
  static constexpr bool kFold = MV == 2 && Set::kFolds;
  static constexpr int kMDown = kFold ? 2 : T::kDown;
  static constexpr size_t kMTile = kMDown * T::kAcross * kOutputs + 16;  // 16 more: tiles at powers of two would share cache sets

  // --- packed: [position][c_out_padded] int32 to begin with, then [block][position][steps * outputs of the block][4] int8 or,
  //     folded, [block][column][4 steps * outputs of the block][4]
  static size_t packed_bytes(const RowConv& conv) noexcept { return 4 * T::kPositions * conv.c_out_padded() * (1 + Set::steps(conv)); }

  static size_t slot(size_t k, size_t step, size_t o, size_t outputs, size_t steps) noexcept {
    if constexpr (kFold) return Set::fold_slot(k % T::kAcross * steps + step, k / T::kAcross, o, outputs);
    return k * steps * outputs + Set::slot(step, o, outputs, steps);
  }

  static void pack(const RowConv& conv, const void* weights, void* packed) noexcept {
    std::memset(packed, 0, packed_bytes(conv));
    const int16_t* source = static_cast<const int16_t*>(weights);
    uint32_t* init = static_cast<uint32_t*>(packed);  // modulo 2^32, as all that is done with it
    int8_t* target = static_cast<int8_t*>(packed) + 4 * T::kPositions * conv.c_out_padded();
    const size_t c_in = static_cast<size_t>(conv.c_in), c_out = static_cast<size_t>(conv.c_out), padded = conv.c_out_padded();
    const size_t steps = Set::steps(conv);
    for (size_t first = 0; first < padded; first += kOutputs) {
      const size_t outputs = std::min(kOutputs, padded - first);
      for (size_t o = first; o < std::min(first + outputs, c_out); ++o) {
        for (size_t c = 0; c < c_in; ++c) {
          for (int k = 0; k < T::kPositions; ++k) {
            const int u = T::weight(k, source + (o * c_in + c) * 9);
            target[4 * slot(static_cast<size_t>(k), c / 4, o - first, outputs, steps) + c % 4] = static_cast<int8_t>(u);
            init[static_cast<size_t>(k) * padded + o] -= static_cast<uint32_t>(T::above(k, conv) * u);
          }
        }
      }
      target += 4 * T::kPositions * steps * outputs;
    }
  }

  // --- scratch: V [position][kTiles][channels], 64 bytes behind each position; M [kTiles][position][32], 16 behind each tile;
  //     the inputs of one tile [kDown][kAcross][channels] and 64 bytes
  static size_t v_position(const RowConv& conv) noexcept { return kTiles * conv.pixel_bytes() + 64; }
  static size_t m_bytes() noexcept { return 4 * kTiles * kMTile; }
  static size_t scratch_bytes(const RowConv& conv, int) noexcept {
    return T::kPositions * (v_position(conv) + conv.pixel_bytes()) + m_bytes() + 64;
  }

  // Bytes of `tiles` tiles to V. Channels come kBytes at a time, from the last to the first. Of the last only 32 may be of this
  // pixel: what is written behind belongs to the next tile, whose turn is later, or lies behind the position.
  static QSR_INLINE void to_v(const uint8_t* const* rows, size_t stride, int tiles, const Bytes* offset, uint8_t* v, size_t v_position) noexcept {
    for (size_t c = round_up(stride, kBytes); c != 0;) {
      c -= kBytes;
      Bytes t[T::kAcross][T::kDown];
      const auto column = [&](int x, Bytes* to) {
        Bytes d[T::kDown];
#pragma GCC unroll 8
        for (int i = 0; i < T::kDown; ++i) std::memcpy(&d[i], rows[i] + static_cast<size_t>(x) * stride + c, kBytes);
        Winograd<MV>::input(d, to);
      };
      column(0, t[0]);
      column(1, t[1]);
      for (int tile = 0; tile < tiles; ++tile) {
#pragma GCC unroll 8
        for (int j = 0; j < MH; ++j) column(MH * tile + 2 + j, t[2 + j]);
        uint8_t* to = v + static_cast<size_t>(tile) * stride + c;
#pragma GCC unroll 8
        for (int i = 0; i < T::kDown; ++i) {
          Bytes d[T::kAcross], o[T::kAcross];
#pragma GCC unroll 8
          for (int j = 0; j < T::kAcross; ++j) d[j] = t[j][i];
          Winograd<MH>::input(d, o);
#pragma GCC unroll 8
          for (int j = 0; j < T::kAcross; ++j) {
            const int k = i * T::kAcross + j;
            o[j] += offset[k];
            std::memcpy(to + static_cast<size_t>(k) * v_position, &o[j], kBytes);
          }
          t[0][i] = t[MH][i];
          t[1][i] = t[MH + 1][i];
        }
      }
    }
  }

  // A tile of which only `columns` of the kAcross columns are in the row. V is exact for bytes that occur, so what is behind the
  // row, which may be anything, is not read: 0 stands for it.
  static void last_to_v(const uint8_t* const* rows, size_t stride, size_t columns, const Bytes* offset, uint8_t* v, size_t v_position,
                        uint8_t* copy) noexcept {
    const uint8_t* from[T::kDown];
    for (size_t i = 0; i < T::kDown; ++i) {
      uint8_t* to = copy + i * T::kAcross * stride;
      std::memcpy(to, rows[i], columns * stride);
      std::memset(to + columns * stride, 0, (T::kAcross - columns) * stride);
      from[i] = to;
    }
    to_v(from, stride, 1, offset, v, v_position);
  }

  // M of one tile and kInts outputs to sums. m: [position][32]; sums: pixel by pixel, row by row; the first `columns` only
  static QSR_INLINE void from_m(const int32_t* m, int32_t* sums, size_t padded, size_t row, int columns) noexcept {
    const auto load = [&](int i, int j) {
      return *reinterpret_cast<const Ints*>(m + static_cast<size_t>(i * T::kAcross + j) * kOutputs);
    };
    const auto store = [&](int i, int j, Ints y) {
      Ints sum = (Ints)((Signed)y >> T::kShift);
      if constexpr (T::kInverse != 1) sum *= T::kInverse;
      if (j < columns) *reinterpret_cast<Ints*>(sums + static_cast<size_t>(i) * row + static_cast<size_t>(j) * padded) = sum;
    };
    constexpr bool kColumnsFirst = kFold || T::kColumnsFirst;
    constexpr int kFirst = kColumnsFirst ? T::kAcross : T::kDown, kThen = kColumnsFirst ? MV : MH;
    using First = Winograd<kColumnsFirst ? MV : MH>;
    using Then = Winograd<kColumnsFirst ? MH : MV>;
    Ints t[kThen][kFirst];
#pragma GCC unroll 8
    for (int j = 0; j < kFirst; ++j) {
      Ints d[8], y[8];
#pragma GCC unroll 8
      for (int i = 0; i < (kFold ? 2 : kThen + 2); ++i) d[i] = kColumnsFirst ? load(i, j) : load(j, i);
      if constexpr (!kFold) First::output(d, y);
#pragma GCC unroll 8
      for (int i = 0; i < kThen; ++i) t[i][j] = kFold ? d[i] : y[i];
    }
#pragma GCC unroll 8
    for (int i = 0; i < kThen; ++i) {
      Ints y[8];
      Then::output(t[i], y);
#pragma GCC unroll 8
      for (int j = 0; j < kFirst - 2; ++j) kColumnsFirst ? store(i, j, y[j]) : store(j, i, y[j]);
    }
  }

  static void sums_of(const int32_t* m, size_t outputs, int tiles, int32_t* sums, size_t padded, size_t row, int pixels) noexcept {
    for (int tile = 0; tile < tiles; ++tile) {
      const int columns = pixels - MH * tile;
      for (size_t o = 0; o < outputs; o += kInts) {
        const int32_t* from = m + static_cast<size_t>(tile) * kMTile + o;
        int32_t* to = sums + static_cast<size_t>(MH * tile) * padded + o;
        if (columns >= MH) {
          from_m(from, to, padded, row, MH);
        } else {
          from_m(from, to, padded, row, columns);
        }
      }
    }
  }

  static void run(const RowConv& conv, const void* packed, const uint8_t* const* rows, int pixels, void* acc, void* scratch) noexcept {
    const size_t stride = conv.pixel_bytes(), padded = conv.c_out_padded(), row = round_up(static_cast<size_t>(pixels), 16) * padded;
    uint8_t* v = static_cast<uint8_t*>(scratch);
    int32_t* m = reinterpret_cast<int32_t*>(v + T::kPositions * v_position(conv));
    const uint8_t* weights = static_cast<const uint8_t*>(packed) + 4 * T::kPositions * padded;
    Bytes offset[T::kPositions];
    int most[T::kPositions];
    for (int k = 0; k < T::kPositions; ++k) {
      offset[k] = Bytes{} + static_cast<uint8_t>(T::offset(k, conv));
      most[k] = T::most(k, conv);
    }
    Products call{nullptr, stride, nullptr, nullptr, m, kMTile, 0, 0, Set::steps(conv), 0, 0, 0, 0};
    call.v_down = T::kAcross * v_position(conv);
    call.init_down = T::kAcross * padded;
    call.m_down = T::kAcross * kOutputs;
    const int all = (pixels + MH - 1) / MH;
    for (int first = 0; first < all; first += kTiles) {
      call.tiles = std::min(kTiles, all - first);
      const uint8_t* from[T::kDown];
      for (int i = 0; i < T::kDown; ++i) from[i] = rows[i] + static_cast<size_t>(MH * first) * stride;
      const int whole = std::min(call.tiles, pixels / MH - first);
      if (whole > 0) to_v(from, stride, whole, offset, v, v_position(conv));
      if (whole < call.tiles) {
        for (int i = 0; i < T::kDown; ++i) from[i] += static_cast<size_t>(MH * whole) * stride;
        last_to_v(from, stride, static_cast<size_t>(pixels % MH + 2), offset, v + static_cast<size_t>(whole) * stride, v_position(conv),
                  reinterpret_cast<uint8_t*>(m) + m_bytes());
      }
      int32_t* sums = static_cast<int32_t*>(acc) + static_cast<size_t>(MH * first) * padded;
      call.weights = weights;
      for (size_t o = 0; o < padded; o += kOutputs) {
        call.outputs = std::min(kOutputs, padded - o);
        for (int k = 0; k < (kFold ? T::kAcross : T::kPositions); ++k) {
          call.v = v + static_cast<size_t>(k) * v_position(conv);
          call.init = static_cast<const int32_t*>(packed) + static_cast<size_t>(k) * padded + o;
          call.m = m + static_cast<size_t>(k) * kOutputs;
          call.most = most[k];
          if constexpr (kFold) {
            Set::fold(call);
          } else {
            Set::products(call);
          }
          call.weights += (kFold ? 16 : 4) * call.steps * call.outputs;
        }
        sums_of(m, call.outputs, call.tiles, sums + o, padded, row, pixels - MH * first);
      }
    }
  }
};

}  // namespace
}  // namespace qsr
