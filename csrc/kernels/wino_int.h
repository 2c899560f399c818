// Exact integer Winograd for 3x3 convolutions: tiles of MV x MH outputs from (MV + 2) x (MH + 2) inputs.
//
// In one dimension, with inputs d (M + 2), weights g (3) and outputs y (M),
//   S y_i = sum over k of  A[k][i] (G_k . g) (B_k . d)
// holds in integers for the matrices below (points 0, 1, -1, 2, -2 and infinity; denominators moved into A and S). In two
// dimensions rows are transformed first, then columns, S = S(MV) S(MH), and M + 2 in each direction products take the place of
// 3 M: 16 for 36 (2x2), 24 for 72 (2x4), 30 for 108 (4x3).
//
// Overflow. Stored bytes d are 0..a, a = a_max + zero. With p the sum of the positive and n of the negative coefficients of
// B_k (x) B_l, V = B_k d B_l' is in -n a .. p a and is stored as V + n a: a byte if (p + n) a <= 255. U = G_k g G_l' is within
// p w_max - n w_min and p w_min - n w_max, with p and n of G_k (x) G_l, and has to be in -128..127. `fits` computes just this:
//   4x3: (p + n) = 60 and 63 of U:  a <= 4 and |w| <= 2           codes of 2 bits
//   2x4: (p + n) = 20 and 21 of U:  a <= 12 and |w| <= 6          codes of 3 bits
//   2x2: (p + n) =  4 and  9 of U:  a <= 63 and |w| <= 14         codes of 4 bits, up to 6 bits against signs
// The sums of U V and all that follows are taken modulo 2^32. In the end stands S y exactly, |S y| < 2^31 by `fits`, and S
// divides it: shifted right by the twos of S, times the inverse of what is odd in S modulo 2^32.
//
// Include behind QSR_TARGET_...: the transforms are templates over vectors of the compiler (+ - << lane by lane).
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/conv_rows.h"

namespace qsr {
namespace {

#define QSR_INLINE inline __attribute__((always_inline))

template <int M>
struct Winograd;

template <>
struct Winograd<2> {
  static constexpr int kScale = 2;
  static constexpr int kB[4][4] = {{1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, 1, 0, -1}};
  static constexpr int kG[4][3] = {{2, 0, 0}, {1, 1, 1}, {1, -1, 1}, {0, 0, 2}};
  static constexpr int kOutputCost = 4;  // instructions of `output`
  template <class V>
  static QSR_INLINE void input(const V* d, V* o) noexcept {
    o[0] = d[0] - d[2];
    o[1] = d[1] + d[2];
    o[2] = d[2] - d[1];
    o[3] = d[1] - d[3];
  }
  template <class V>
  static QSR_INLINE void output(const V* m, V* y) noexcept {
    y[0] = m[0] + m[1] + m[2];
    y[1] = m[1] - m[2] - m[3];
  }
};

template <>
struct Winograd<3> {  // points 0, 1, -1, 2
  static constexpr int kScale = 6;
  static constexpr int kB[5][5] = {{2, -1, -2, 1, 0}, {0, -2, -1, 1, 0}, {0, 2, -3, 1, 0}, {0, -1, 0, 1, 0}, {0, 2, -1, -2, 1}};
  static constexpr int kG[5][3] = {{3, 0, 0}, {-3, -3, -3}, {1, -1, 1}, {1, 2, 4}, {0, 0, 6}};
  static constexpr int kOutputCost = 9;
  template <class V>
  static QSR_INLINE void input(const V* d, V* o) noexcept {
    const V d13 = d[1] - d[3], d02 = d[0] - d[2], d24 = d[2] - d[4], d32 = d[3] - d[2], twice1 = d[1] + d[1];
    o[0] = d02 + d02 - d13;
    o[1] = d32 - twice1;
    o[2] = d32 + twice1 - (d[2] + d[2]);
    o[3] = d[3] - d[1];
    o[4] = d13 + d13 - d24;
  }
  // 6 y = m0 + m1 - m2 + m3,  m1 + m2 + 2 m3,  m1 - m2 + 4 m3 + m4
  template <class V>
  static QSR_INLINE void output(const V* m, V* y) noexcept {
    const V d12 = m[1] - m[2], twice3 = m[3] + m[3];
    y[0] = m[0] + m[3] + d12;
    y[1] = m[1] + m[2] + twice3;
    y[2] = twice3 + twice3 + m[4] + d12;
  }
};

template <>
struct Winograd<4> {  // points 0, 1, -1, 2, -2
  static constexpr int kScale = 24;
  static constexpr int kB[6][6] = {{4, 0, -5, 0, 1, 0}, {0, -4, -4, 1, 1, 0}, {0, 4, -4, -1, 1, 0},
                                   {0, -2, -1, 2, 1, 0}, {0, 2, -1, -2, 1, 0}, {0, 4, 0, -5, 0, 1}};
  static constexpr int kG[6][3] = {{6, 0, 0}, {-1, -1, -1}, {-1, 1, -1}, {1, 2, 4}, {1, -2, 4}, {0, 0, 3}};
  static constexpr int kOutputCost = 15;
  template <class V>
  static QSR_INLINE V twice(V x) noexcept { return x + x; }  // bytes have no shift
  template <class V>
  static QSR_INLINE void input(const V* d, V* o) noexcept {
    const V d20 = d[2] - d[0], d42 = d[4] - d[2], d31 = d[3] - d[1], d53 = d[5] - d[3], four2 = twice(twice(d[2])), four1 = twice(twice(d[1]));
    const V even = d[4] - four2, odd = d[3] - four1, odd2 = twice(d31);
    o[0] = d42 - twice(twice(d20));
    o[1] = even + odd;
    o[2] = even - odd;
    o[3] = d42 + odd2;
    o[4] = d42 - odd2;
    o[5] = d53 - twice(odd2);
  }
  // 24 y = m0 + 4 (m1 + m2) + m3 + m4,  4 (m1 - m2) + 2 (m3 - m4),  4 (m1 + m2) + 4 (m3 + m4),  4 (m1 - m2) + 8 (m3 - m4 + m5)
  template <class V>
  static QSR_INLINE void output(const V* m, V* y) noexcept {
    const V s12 = (m[1] + m[2]) << 2, d12 = (m[1] - m[2]) << 2, s34 = m[3] + m[4], d34 = m[3] - m[4];
    y[0] = m[0] + s12 + s34;
    y[1] = d12 + d34 + d34;
    y[2] = s12 + (s34 << 2);
    y[3] = d12 + ((d34 + m[5]) << 3);
  }
};

struct Parts {
  int positive = 0, negative = 0;  // sums of the coefficients of either sign, both >= 0
};

template <int N>
constexpr Parts parts(const int (&row)[N]) noexcept {
  Parts sum;
  for (int c : row) (c > 0 ? sum.positive : sum.negative) += c > 0 ? c : -c;
  return sum;
}

constexpr Parts product(Parts a, Parts b) noexcept {
  return {a.positive * b.positive + a.negative * b.negative, a.positive * b.negative + a.negative * b.positive};
}

// x with odd * x = 1 modulo 2^32: Newton's step doubles the bits that are right, 3 of them to begin with
constexpr uint32_t inverse(uint32_t odd) noexcept {
  uint32_t x = odd;
  for (int i = 0; i < 4; ++i) x *= 2 - odd * x;
  return x;
}

template <int MV, int MH>
struct Tile {
  static constexpr int kDown = MV + 2, kAcross = MH + 2, kPositions = kDown * kAcross;
  static constexpr int kScale = Winograd<MV>::kScale * Winograd<MH>::kScale;
  static constexpr int kShift = __builtin_ctz(kScale);
  static constexpr uint32_t kInverse = inverse(static_cast<uint32_t>(kScale) >> kShift);

  static constexpr bool kColumnsFirst = kAcross * Winograd<MV>::kOutputCost + MV * Winograd<MH>::kOutputCost <=
                                        kDown * Winograd<MH>::kOutputCost + MH * Winograd<MV>::kOutputCost;

  static constexpr Parts input_parts(int position) noexcept {
    return product(parts(Winograd<MV>::kB[position / kAcross]), parts(Winograd<MH>::kB[position % kAcross]));
  }
  static constexpr Parts weight_parts(int position) noexcept {
    return product(parts(Winograd<MV>::kG[position / kAcross]), parts(Winograd<MH>::kG[position % kAcross]));
  }
  // What V of a position is stored above: V + offset >= 0.
  static constexpr int offset(int position, const RowConv& conv) noexcept { return input_parts(position).negative * (conv.a_max + conv.zero()); }

  // Stored bytes V of a position are 0..highest_v, U is lowest_u..highest_u.
  static constexpr int highest_v(int position, const RowConv& conv) noexcept {
    const Parts b = input_parts(position);
    return (b.positive + b.negative) * (conv.a_max + conv.zero());
  }
  static constexpr int highest_u(int position, const RowConv& conv) noexcept {
    const Parts g = weight_parts(position);
    return g.positive * conv.w_max - g.negative * conv.w_min;
  }
  static constexpr int lowest_u(int position, const RowConv& conv) noexcept {
    const Parts g = weight_parts(position);
    return g.positive * conv.w_min - g.negative * conv.w_max;
  }
  // the largest |U V| of a position
  static constexpr int most(int position, const RowConv& conv) noexcept {
    return highest_v(position, conv) * std::max(highest_u(position, conv), -lowest_u(position, conv));
  }

  static bool fits(const RowConv& conv) noexcept {
    if (conv.kh != 3 || conv.kw != 3) return false;
    for (int k = 0; k < kPositions; ++k) {
      if (highest_v(k, conv) > 255 || highest_u(k, conv) > 127 || lowest_u(k, conv) < -128) return false;
    }
    const int64_t sum = int64_t{9} * conv.c_in * std::max(conv.a_max, -conv.a_min) * std::max(conv.w_max, -conv.w_min);
    return sum * kScale <= INT32_MAX;
  }

  // U of one 3x3 kernel at a position
  static int weight(int position, const int16_t* w) noexcept {
    int sum = 0;
    for (int u = 0; u < 3; ++u) {
      for (int v = 0; v < 3; ++v) sum += Winograd<MV>::kG[position / kAcross][u] * Winograd<MH>::kG[position % kAcross][v] * w[3 * u + v];
    }
    return sum;
  }
  // What V of codes is below its stored byte: the offset, and what `zero` in every input adds.
  static int above(int position, const RowConv& conv) noexcept {
    const Parts down = parts(Winograd<MV>::kB[position / kAcross]), across = parts(Winograd<MH>::kB[position % kAcross]);
    return offset(position, conv) + conv.zero() * (down.positive - down.negative) * (across.positive - across.negative);
  }
};

}  // namespace
}  // namespace qsr
