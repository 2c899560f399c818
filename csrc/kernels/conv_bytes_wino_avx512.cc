// 3x3 convolutions of few-bit codes for AVX-512 (VNNI) by exact integer Winograd (wino_int.h) on vpdpbusd.
//
// A call takes MV rows of output. Blocks of kTiles tiles at a time: bytes to V (all positions), then for each block of 32
// outputs one small matrix product per position into M, and M to sums. V is made once for all outputs; V, M and the weights
// of one position stay in L1 and L2.
#include <cstring>

#include "kernels/conv_rows.h"

#if QSR_X86
#include <immintrin.h>

QSR_TARGET_AVX512
#include "kernels/dot_avx512.h"
#include "kernels/wino_int.h"

namespace qsr {
namespace {

typedef uint8_t Bytes __attribute__((vector_size(64)));
typedef int32_t Ints __attribute__((vector_size(64)));

constexpr int kTiles = 24;           // of one block, a multiple of kTileRows
constexpr int kTileRows = dot_rows(2);
constexpr size_t kOutputs = 32;      // of one block; a last one may have 16

QSR_INLINE Bytes load_bytes(const uint8_t* p) noexcept { return (Bytes)_mm512_loadu_si512(p); }

size_t groups(const RowConv& conv) noexcept { return round_up(static_cast<size_t>(conv.c_in), 4) / 4; }

template <int MV, int MH>
bool accepts(const RowConv& conv) noexcept { return Tile<MV, MH>::fit(conv).fits; }

// [position][c_out_padded] int32 to begin with, then [block][position][group of 4 channels][outputs of the block][4] int8
template <int MV, int MH>
size_t packed_bytes(const RowConv& conv) noexcept { return 4 * Tile<MV, MH>::kPositions * conv.c_out_padded() * (1 + groups(conv)); }

template <int MV, int MH>
void pack(const RowConv& conv, const void* weights, void* packed) noexcept {
  using T = Tile<MV, MH>;
  std::memset(packed, 0, packed_bytes<MV, MH>(conv));
  const int16_t* source = static_cast<const int16_t*>(weights);
  int32_t* init = static_cast<int32_t*>(packed);
  int8_t* target = static_cast<int8_t*>(packed) + 4 * T::kPositions * conv.c_out_padded();
  const size_t c_in = static_cast<size_t>(conv.c_in), c_out = static_cast<size_t>(conv.c_out), padded = conv.c_out_padded();
  for (size_t first = 0; first < padded; first += kOutputs) {
    const size_t outputs = std::min(kOutputs, padded - first);
    for (size_t o = first; o < std::min(first + outputs, c_out); ++o) {
      for (size_t c = 0; c < c_in; ++c) {
        for (int k = 0; k < T::kPositions; ++k) {
          const size_t position = static_cast<size_t>(k);
          const int u = T::weight(k, source + (o * c_in + c) * 9);
          target[((position * groups(conv) + c / 4) * outputs + (o - first)) * 4 + c % 4] = static_cast<int8_t>(u);
          init[position * padded + o] -= T::above(k, conv) * u;
        }
      }
    }
    target += 4 * outputs * T::kPositions * groups(conv);
  }
}

// V [position][kTiles][channels], with a vector behind each position; M [position][kTiles][32]
size_t v_position(const RowConv& conv) noexcept { return kTiles * conv.pixel_bytes() + 64; }
template <int MV, int MH>
size_t scratch_bytes(const RowConv& conv, int) noexcept {
  return Tile<MV, MH>::kPositions * (v_position(conv) + 4 * kTiles * kOutputs);
}

// Bytes of `tiles` tiles to V. Channels come 64 at a time, from the last to the first. Of the last 64 only 32 may be of this
// pixel: what is written behind it belongs to the next tile, whose turn is later, or to the vector behind the position.
template <int MV, int MH>
QSR_INLINE void to_v(const uint8_t* const* rows, size_t stride, int tiles, const Bytes* offset, uint8_t* v, size_t v_position) noexcept {
  using T = Tile<MV, MH>;
  for (size_t c = (stride - 1) / 64 * 64 + 64; c != 0;) {
    c -= 64;
    Bytes t[T::kAcross][T::kDown];
    const auto down = [&](int column, Bytes* to) {
      Bytes d[T::kDown];
      for (int i = 0; i < T::kDown; ++i) d[i] = load_bytes(rows[i] + static_cast<size_t>(column) * stride + c);
      Winograd<MV>::input(d, to);
    };
    down(0, t[0]);
    down(1, t[1]);
    for (int tile = 0; tile < tiles; ++tile) {
#pragma GCC unroll 8
      for (int j = 0; j < MH; ++j) down(MH * tile + 2 + j, t[2 + j]);
#pragma GCC unroll 8
      for (int i = 0; i < T::kDown; ++i) {
        Bytes d[T::kAcross], o[T::kAcross];
#pragma GCC unroll 8
        for (int j = 0; j < T::kAcross; ++j) d[j] = t[j][i];
        Winograd<MH>::input(d, o);
#pragma GCC unroll 8
        for (int j = 0; j < T::kAcross; ++j) {
          const int k = i * T::kAcross + j;
          uint8_t* to = v + static_cast<size_t>(k) * v_position + static_cast<size_t>(tile) * stride + c;
          _mm512_storeu_si512(to, (__m512i)(o[j] + offset[k]));
        }
        t[0][i] = t[MH][i];
        t[1][i] = t[MH + 1][i];
      }
    }
  }
}

// M of one tile and 16 outputs to sums. m: [position][kTiles][outputs], sums: pixel by pixel, row by row
template <int MV, int MH>
QSR_INLINE void from_m(const int32_t* m, size_t outputs, int32_t* sums, size_t padded, size_t row, int columns) noexcept {
  using T = Tile<MV, MH>;
  Ints t[MV][T::kAcross];
#pragma GCC unroll 8
  for (int j = 0; j < T::kAcross; ++j) {
    Ints d[T::kDown], y[MV];
#pragma GCC unroll 8
    for (int i = 0; i < T::kDown; ++i) d[i] = (Ints)_mm512_load_si512(m + static_cast<size_t>(i * T::kAcross + j) * kTiles * outputs);
    Winograd<MV>::output(d, y);
#pragma GCC unroll 8
    for (int i = 0; i < MV; ++i) t[i][j] = y[i];
  }
#pragma GCC unroll 8
  for (int i = 0; i < MV; ++i) {
    Ints y[MH];
    Winograd<MH>::output(t[i], y);
#pragma GCC unroll 8
    for (int j = 0; j < MH; ++j) {
      Ints sum = y[j] >> T::kShift;
      if constexpr (T::kInverse != 1) sum = sum * static_cast<int32_t>(T::kInverse);
      if (j < columns) _mm512_store_si512(sums + static_cast<size_t>(i) * row + static_cast<size_t>(j) * padded, (__m512i)sum);
    }
  }
}

// One block of 16 NB outputs for `tiles` tiles, from V to sums.
template <int MV, int MH, int NB>
void outputs_of(const RowConv& conv, const uint8_t* v, const int32_t* init, const int8_t* weights, int tiles, int32_t* m, int32_t* sums,
                size_t row, int pixels) noexcept {
  using T = Tile<MV, MH>;
  constexpr size_t kWide = 16 * NB;
  const size_t stride = conv.pixel_bytes(), padded = conv.c_out_padded();
  for (int k = 0; k < T::kPositions; ++k) {
    const size_t position = static_cast<size_t>(k);
    const uint8_t* at = nullptr;
    DotCall call{&at, 1, static_cast<int64_t>(groups(conv)), static_cast<int64_t>(stride), weights + position * groups(conv) * 4 * kWide,
                 init + position * padded, nullptr, 4 * kWide};
    for (int tile = 0; tile < tiles; tile += kTileRows) {
      at = v + position * v_position(conv) + static_cast<size_t>(tile) * stride;
      call.out = m + (position * kTiles + static_cast<size_t>(tile)) * kWide;
      dot<NB, false>(call);
    }
  }
  for (int tile = 0; tile < tiles; ++tile) {
    const size_t at = static_cast<size_t>(tile);
    for (size_t j = 0; j < NB; ++j) {
      int32_t* to = sums + at * MH * padded + 16 * j;
      if (pixels >= MH * (tile + 1)) {
        from_m<MV, MH>(m + at * kWide + 16 * j, kWide, to, padded, row, MH);
      } else {
        from_m<MV, MH>(m + at * kWide + 16 * j, kWide, to, padded, row, pixels - MH * tile);
      }
    }
  }
}

template <int MV, int MH>
void run(const RowConv& conv, const void* packed, const uint8_t* const* rows, int pixels, void* acc, void* scratch) noexcept {
  using T = Tile<MV, MH>;
  const size_t stride = conv.pixel_bytes(), padded = conv.c_out_padded(), row = round_up(static_cast<size_t>(pixels), 16) * padded;
  uint8_t* v = static_cast<uint8_t*>(scratch);
  int32_t* m = reinterpret_cast<int32_t*>(v + T::kPositions * v_position(conv));
  const int32_t* init = static_cast<const int32_t*>(packed);
  const int8_t* weights = static_cast<const int8_t*>(packed) + 4 * T::kPositions * padded;
  Bytes offset[T::kPositions];
  for (int k = 0; k < T::kPositions; ++k) offset[k] = (Bytes)_mm512_set1_epi8(static_cast<char>(T::offset(k, conv)));

  const int all = (pixels + MH - 1) / MH;
  for (int first = 0; first < all; first += kTiles) {
    const int tiles = std::min(kTiles, all - first), left = pixels - MH * first;
    const uint8_t* from[T::kDown];
    for (int i = 0; i < T::kDown; ++i) from[i] = rows[i] + static_cast<size_t>(MH * first) * stride;
    to_v<MV, MH>(from, stride, tiles, offset, v, v_position(conv));
    int32_t* sums = static_cast<int32_t*>(acc) + static_cast<size_t>(MH * first) * padded;
    for (size_t o = 0; o < padded; o += kOutputs) {
      const int8_t* block = weights + o * 4 * groups(conv) * T::kPositions;
      if (padded - o >= kOutputs) {
        outputs_of<MV, MH, 2>(conv, v, init + o, block, tiles, m, sums + o, row, left);
      } else {
        outputs_of<MV, MH, 1>(conv, v, init + o, block, tiles, m, sums + o, row, left);
      }
    }
  }
}

}  // namespace

#define QSR_WINOGRAD(variable, name, MV, MH)                                                                     \
  extern const RowKernel variable = {name, Isa::kAvx512, Input::kBytes, MV, accepts<MV, MH>, packed_bytes<MV, MH>, \
                                     pack<MV, MH>, scratch_bytes<MV, MH>, run<MV, MH>}
QSR_WINOGRAD(conv_u2s2_wino4x3_avx512, "conv_u2s2_wino4x3_avx512", 4, 3);
QSR_WINOGRAD(conv_u3s3_wino2x4_avx512, "conv_u3s3_wino2x4_avx512", 2, 4);
QSR_WINOGRAD(conv_u2s2_wino3x3_avx512, "conv_u2s2_wino3x3_avx512", 3, 3);
QSR_WINOGRAD(conv_u4s3_wino2x3_avx512, "conv_u4s3_wino2x3_avx512", 2, 3);
QSR_WINOGRAD(conv_u4s4_wino2x2_avx512, "conv_u4s4_wino2x2_avx512", 2, 2);

}  // namespace qsr
QSR_TARGET_END
#endif
