// Winograd convolutions F(4x4, 3x3) of floats for the instruction set whose lanes are included before.
//
// A tile of 4x4 sums needs 6x6 inputs d and comes from 36 products instead of 144:
//   sums = A^T ( (G w G^T) . (B^T d B) ) A,   the product in the middle summed over channels
// with the points 0, +-a, +-b and infinity. a = sqrt(1/2), b = sqrt(2): a b = 1 and a^2 = 1/2, b^2 = 2 make B small, exact and
// well conditioned; the error is 3 to 5 times less than with the usual 1 and 2.
//          | 1   0   -5/2   0    1  0 |          | 1    1    1     1    1    0 |          | 1      0      0     |
//          | 0  -2a  -2     a    1  0 |          | 0    a   -a     b   -b    0 |          |-2/3  -2a/3  -1/3    |
//   B^T =  | 0   2a  -2    -a    1  0 |   A^T =  | 0   1/2  1/2    2    2    0 |    G =   |-2/3   2a/3  -1/3    |
//          | 0  -b/2 -1/2   b    1  0 |          | 0   a/2 -a/2   2b  -2b    1 |          | 1/6    b/6   1/3    |
//          | 0   b/2 -1/2  -b    1  0 |                                                   | 1/6   -b/6   1/3    |
//          | 0   1    0   -5/2   0  1 |                                                   | 0      0      1     |
// The 36 sums over channels are 36 products of (tiles, c_in) and (c_in, outputs). Per chunk of a row's tiles the inputs V and
// the results M (of up to kOutputs outputs at a time) stay in the second-level cache while the weights stream past them.
#pragma once

#include <cmath>
#include <cstring>

#include "kernels/conv_rows.h"
#include "kernels/float_block.h"

namespace qsr {
namespace {

constexpr int kTile = 4, kSide = 6, kPositions = 36;
constexpr size_t kOutputs = 64;
constexpr float kA = 0.70710678118654752f, kB = 1.41421356237309505f;

// Lengths in floats. A plane is one of the 36 positions; its 16 floats more keep planes from falling into the same cache sets.
struct WinoPlan {
  int tiles = 0, chunk = 0;
  size_t channels = 0, outputs = 0;  // of a tile in a plane of V and of M
  size_t input_plane = 0, output_plane = 0;

  WinoPlan(const RowConv& conv, int pixels) noexcept {
    constexpr size_t kCache = 448 << 10;  // bytes of V and M: about half of a second-level cache; 256 to 1600 KiB: no difference
    tiles = (pixels + kTile - 1) / kTile;
    channels = round_up(static_cast<size_t>(conv.c_in), kLanes);
    outputs = conv.c_out_padded() < kOutputs ? conv.c_out_padded() : kOutputs;
    const int fit = static_cast<int>(kCache / (sizeof(float) * kPositions * (channels + outputs)));
    const int most = fit < kMaxRows ? kMaxRows : fit, chunks = (tiles + most - 1) / most;
    chunk = (tiles + chunks - 1) / chunks;
    input_plane = static_cast<size_t>(chunk) * channels + 16;
    output_plane = static_cast<size_t>(chunk) * outputs + 16;
  }
  size_t edge_row(const RowConv& conv) const noexcept { return round_up(kSide * static_cast<size_t>(conv.c_in) + kLanes, 16); }
};

inline bool accept_wino(const RowConv& conv) noexcept {
  return conv.input == Input::kFloat && conv.kh == 3 && conv.kw == 3 && conv.c_in >= 8 && conv.c_in <= 512 && conv.c_out >= 4;
}

inline size_t wino_scratch(const RowConv& conv, int pixels) noexcept {
  const WinoPlan plan(conv, pixels);
  return sizeof(float) * (kPositions * (plan.input_plane + plan.output_plane) + kSide * plan.edge_row(conv));
}

inline size_t wino_bytes(const RowConv& conv) noexcept {
  return sizeof(float) * kPositions * static_cast<size_t>(conv.c_in) * conv.c_out_padded();
}

// u[i][j] of G w G^T, in double: rounded once
inline void transform_weight(const float* w, double u[kPositions]) noexcept {
  const double a = std::sqrt(0.5), b = std::sqrt(2.0);
  const double third = 1.0 / 3, sixth = 1.0 / 6;
  const double g[kSide][3] = {{1, 0, 0},
                              {-2 * third, -2 * a * third, -third},
                              {-2 * third, 2 * a * third, -third},
                              {sixth, b * sixth, third},
                              {sixth, -b * sixth, third},
                              {0, 0, 1}};
  double left[kSide][3];
  for (int i = 0; i < kSide; ++i) {
    for (int x = 0; x < 3; ++x) left[i][x] = g[i][0] * double{w[x]} + g[i][1] * double{w[3 + x]} + g[i][2] * double{w[6 + x]};
  }
  for (int i = 0; i < kSide; ++i) {
    for (int j = 0; j < kSide; ++j) u[i * kSide + j] = left[i][0] * g[j][0] + left[i][1] * g[j][1] + left[i][2] * g[j][2];
  }
}

// [kOutputs outputs][position][block of registers][c][outputs of the block]
inline void pack_wino(const RowConv& conv, const void* weights, void* packed) noexcept {
  const float* source = static_cast<const float*>(weights);
  float* target = static_cast<float*>(packed);
  const size_t c_in = static_cast<size_t>(conv.c_in), c_out = static_cast<size_t>(conv.c_out), padded = conv.c_out_padded();
  std::memset(packed, 0, wino_bytes(conv));
  for (size_t panel = 0; panel < padded; panel += kOutputs) {
    const size_t end = padded - panel < kOutputs ? padded : panel + kOutputs;
    const size_t plane = (end - panel) * c_in;
    over_registers(panel, end, [&](size_t first, size_t width) {
      for (size_t o = first; o < first + width && o < c_out; ++o) {
        for (size_t c = 0; c < c_in; ++c) {
          double u[kPositions];
          transform_weight(source + (o * c_in + c) * 9, u);
          float* at = target + (first - panel) * c_in + c * width + (o - first);
          for (size_t position = 0; position < kPositions; ++position) at[position * plane] = static_cast<float>(u[position]);
        }
      }
    });
    target += kPositions * plane;
  }
}

// B^T of six vectors
inline __attribute__((always_inline)) void input_transform(const F d[kSide], F t[kSide]) noexcept {
  const F a = constant(kA), b = constant(kB), half = constant(0.5f), two = constant(2.0f), both = constant(2.5f);
  const F even1 = fnma(two, d[2], d[4]), odd1 = fnma(two, d[1], d[3]);
  const F even2 = fnma(half, d[2], d[4]), odd2 = fnma(half, d[1], d[3]);
  t[0] = fnma(both, d[2], add(d[0], d[4]));
  t[1] = fma(a, odd1, even1);
  t[2] = fnma(a, odd1, even1);
  t[3] = fma(b, odd2, even2);
  t[4] = fnma(b, odd2, even2);
  t[5] = fnma(both, d[3], add(d[1], d[5]));
}

// A^T of six vectors
inline __attribute__((always_inline)) void output_transform(const F m[kSide], F y[kTile]) noexcept {
  const F a = constant(kA), b = constant(kB), half = constant(0.5f), two = constant(2.0f);
  const F even1 = add(m[1], m[2]), odd1 = mul(a, sub(m[1], m[2]));
  const F even2 = add(m[3], m[4]), odd2 = mul(b, sub(m[3], m[4]));
  y[0] = add(add(m[0], even1), even2);
  y[1] = add(odd1, odd2);
  y[2] = fma(two, even2, mul(half, even1));
  y[3] = fma(two, odd2, fma(half, odd1, m[5]));
}

// One tile: six rows of pixels `pixel` floats long to the 36 planes; `channels` floats of each, a multiple of kLanes.
inline void tile_in(const float* const rows[kSide], size_t pixel, size_t channels, float* planes, size_t plane) noexcept {
  for (size_t c = 0; c < channels; c += kLanes) {
    F across[kSide][kSide];
#pragma GCC unroll 6
    for (int r = 0; r < kSide; ++r) {
      F d[kSide];
#pragma GCC unroll 6
      for (int j = 0; j < kSide; ++j) d[j] = load(rows[r] + static_cast<size_t>(j) * pixel + c);
      input_transform(d, across[r]);
    }
#pragma GCC unroll 6
    for (int j = 0; j < kSide; ++j) {
      F d[kSide], t[kSide];
#pragma GCC unroll 6
      for (int r = 0; r < kSide; ++r) d[r] = across[r][j];
      input_transform(d, t);
#pragma GCC unroll 6
      for (int i = 0; i < kSide; ++i) store(planes + static_cast<size_t>(i * kSide + j) * plane + c, t[i]);
    }
  }
}

// One tile and kLanes outputs: the 36 planes to 4x4 sums; rows of sums are `row` floats apart, pixels `pixel`.
inline void tile_out(const float* planes, size_t plane, float* sums, size_t row, size_t pixel) noexcept {
  F down[kSide][kTile];
#pragma GCC unroll 6
  for (int j = 0; j < kSide; ++j) {
    F m[kSide];
#pragma GCC unroll 6
    for (int i = 0; i < kSide; ++i) m[i] = load(planes + static_cast<size_t>(i * kSide + j) * plane);
    output_transform(m, down[j]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < kTile; ++i) {
    F m[kSide], y[kTile];
#pragma GCC unroll 6
    for (int j = 0; j < kSide; ++j) m[j] = down[j][i];
    output_transform(m, y);
#pragma GCC unroll 4
    for (int j = 0; j < kTile; ++j) store(sums + static_cast<size_t>(i) * row + static_cast<size_t>(j) * pixel, y[j]);
  }
}

// V of `count` tiles from tile `first`. What lies behind the last pixel is arbitrary, and would not cancel exactly: a tile
// that reaches there is copied with zeros.
inline void chunk_in(const RowConv& conv, const WinoPlan& plan, const uint8_t* const* rows, int pixels, int first, int count, float* v,
                     float* edge) noexcept {
  const size_t pixel = static_cast<size_t>(conv.c_in), edge_row = plan.edge_row(conv);
  for (int t = first; t < first + count; ++t, v += plan.channels) {
    const float* sources[kSide];
    const int valid = pixels + 2 - t * kTile;
    for (int r = 0; r < kSide; ++r) {
      sources[r] = reinterpret_cast<const float*>(rows[r]) + static_cast<size_t>(t * kTile) * pixel;
      if (valid >= kSide) continue;
      float* copy = edge + static_cast<size_t>(r) * edge_row;
      std::memset(copy, 0, sizeof(float) * edge_row);
      std::memcpy(copy, sources[r], sizeof(float) * static_cast<size_t>(valid) * pixel);
      sources[r] = copy;
    }
    tile_in(sources, pixel, plan.channels, v, plan.input_plane);
  }
}

inline void run_wino(const RowConv& conv, const void* packed, const uint8_t* const* rows, int pixels, void* acc, void* scratch) noexcept {
  const WinoPlan plan(conv, pixels);
  const size_t padded = conv.c_out_padded(), c_in = static_cast<size_t>(conv.c_in);
  const size_t sum_row = round_up(static_cast<size_t>(pixels), 16) * padded;
  float* const v = static_cast<float*>(scratch);
  float* const m = v + kPositions * plan.input_plane;
  float* const edge = m + kPositions * plan.output_plane;
  for (int first = 0; first < plan.tiles; first += plan.chunk) {
    const int count = plan.tiles - first < plan.chunk ? plan.tiles - first : plan.chunk;
    chunk_in(conv, plan, rows, pixels, first, count, v, edge);
    const float* weights = static_cast<const float*>(packed);
    for (size_t panel = 0; panel < padded; panel += kOutputs) {
      const size_t end = padded - panel < kOutputs ? padded : panel + kOutputs;
      for (size_t position = 0; position < kPositions; ++position) {
        const float* segment = v + position * plan.input_plane;
        over_registers(panel, end, [&](size_t output, size_t width) {
          float* out = m + position * plan.output_plane + (output - panel);
          multiply_rows({&segment, 1, conv.c_in, plan.channels, weights, out, plan.outputs}, static_cast<int>(width / kLanes), count);
          weights += width * c_in;
        });
      }
      for (int t = 0; t < count; ++t) {
        float* sums = static_cast<float*>(acc) + static_cast<size_t>((first + t) * kTile) * padded + panel;
        const float* products = m + static_cast<size_t>(t) * plan.outputs;
        for (size_t o = 0; o < end - panel; o += kLanes) tile_out(products + o, plan.output_plane, sums + o, sum_row, padded);
      }
    }
  }
}

}  // namespace
}  // namespace qsr
