// One bit times one bit on AVX-512: exclusive or and vpopcntd. A word is 32 channels of a pixel, a register 16 outputs.
//
//   sum = terms - 2 * popcount(a ^ w),   terms = c_in * kh * kw
//
// 3x3: three words of a column (one kernel column v, one word) are added as bits before they are counted. With
// x_u = a_u ^ w_u, a full adder turns x_0 + x_1 + x_2 into s + 2 c, and its sum costs one instruction instead of three,
//   s = x_0 ^ x_1 ^ x_2 = (a_0 ^ a_1 ^ a_2) ^ (w_0 ^ w_1 ^ w_2),
// since both brackets are made beforehand: the parity of three input rows once per call for all outputs (and for all three
// kernel columns that read it), that of the weights when they are packed. x_2 is not needed any more: where x_0 = x_1, the
// carry is x_0, else it is not s, which is one vpternlogd. Three xor, the carry, two counts and two additions do three words
// in 8 instructions, where xor, count, add take 9. Processors issue four of these a cycle (two, where 512 bits
// take two cycles) and are bound by that. vpopcntq with 64 channels a word needs as many instructions per bit, and some more to
// narrow its counts. More levels of adders save no instruction: two for an adder, two for the count and addition spared.
//
// Overflow: the sums of a checked convolution are within +-terms <= 2^31 - 1. Per pass (two words), S <= 32 * 6 and C <= 32 * 6
// are below 2^15, so vpdpwssd multiplies them as int16 without loss; terms - 2 S - 4 C stays within +-terms after every pass,
// because what is taken off so far is 2 * (number of differing bits seen) <= 2 * terms.
#include "base/isa.h"
#if QSR_X86
#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "kernels/conv_rows.h"

#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC 12 on its own _mm512_undefined_*, bug 105593
QSR_TARGET_AVX512

namespace qsr {
namespace {

constexpr int kLanes = 16;
constexpr int kStrip = 128;  // pixels for which all outputs are made before the next pixels: their sums stay in L1

bool by_columns(const RowConv& conv) noexcept { return conv.kh == 3 && conv.kw == 3; }

size_t words_of(const RowConv& conv) noexcept { return conv.pixel_bytes() / 4; }

bool accept(const RowConv&) noexcept { return true; }

// Packed weights, blocks of 16 outputs outermost:
//   3x3      [block][pair of words][column v][word of the pair][w_0, w_1, w_0 ^ w_1 ^ w_2][16]; a last pair may be one word
//   others   [block][tap][word][16]
size_t packed_bytes(const RowConv& conv) noexcept {
  return sizeof(uint32_t) * static_cast<size_t>(conv.kh * conv.kw) * words_of(conv) * conv.c_out_padded();
}

// Where the word w of tap (u, v) of output o lies.
size_t index_of(const RowConv& conv, size_t o, size_t tap, size_t word) noexcept {
  const size_t taps = static_cast<size_t>(conv.kh * conv.kw), words = words_of(conv), block = o / kLanes;
  if (!by_columns(conv)) return ((block * taps + tap) * words + word) * kLanes + o % kLanes;
  const size_t pair = word / 2 * 2, width = std::min<size_t>(2, words - pair), u = tap / 3, v = tap % 3;
  return (block * taps * words + pair * taps + (v * width + word - pair) * 3 + u) * kLanes + o % kLanes;
}

void pack(const RowConv& conv, const void* weights, void* packed) noexcept {
  std::memset(packed, 0, packed_bytes(conv));
  const int16_t* source = static_cast<const int16_t*>(weights);
  uint32_t* target = static_cast<uint32_t*>(packed);
  const size_t taps = static_cast<size_t>(conv.kh * conv.kw), c_out = static_cast<size_t>(conv.c_out);
  for (size_t o = 0; o < c_out; ++o) {
    for (size_t c = 0; c < static_cast<size_t>(conv.c_in); ++c) {
      for (size_t tap = 0; tap < taps; ++tap) {
        if (*source++ < 0) target[index_of(conv, o, tap, c / 32)] |= uint32_t{1} << (c % 32);
      }
    }
  }
  for (size_t o = 0; by_columns(conv) && o < c_out; ++o) {
    for (size_t word = 0; word < words_of(conv); ++word) {
      for (size_t v = 0; v < 3; ++v) {
        target[index_of(conv, o, 6 + v, word)] ^= target[index_of(conv, o, v, word)] ^ target[index_of(conv, o, 3 + v, word)];
      }
    }
  }
}

size_t row_words(const RowConv& conv, int pixels) noexcept { return static_cast<size_t>(pixels + conv.kw - 1) * words_of(conv); }

size_t scratch_bytes(const RowConv& conv, int pixels) noexcept {
  return by_columns(conv) ? round_up(4 * row_words(conv, pixels), 64) : 0;
}

inline __m512i word_at(const uint32_t* p) noexcept { return _mm512_set1_epi32(static_cast<int>(*p)); }

// kWords words (from `word` on) of all taps, added to the sums, or (kFirst) the first ones that are counted.
template <int kWords, bool kFirst>
inline void columns_pass(const uint32_t* row0, const uint32_t* row1, const uint32_t* parity, size_t words, const __m512i* packed,
                         int pixels, int terms, int32_t* acc, size_t padded) noexcept {
  __m512i w[kWords * 9];
  for (int i = 0; i < kWords * 9; ++i) w[i] = _mm512_load_si512(packed + i);
  const __m512i all = _mm512_set1_epi32(terms), minus2 = _mm512_set1_epi32(0xfffe), minus4 = _mm512_set1_epi32(0xfffc);
  for (int x = 0; x < pixels; ++x, row0 += words, row1 += words, parity += words, acc += padded) {
    __m512i ones = _mm512_setzero_si512(), twos = _mm512_setzero_si512();
#pragma GCC unroll 3
    for (int v = 0; v < 3; ++v) {
#pragma GCC unroll 2
      for (int i = 0; i < kWords; ++i) {
        const size_t at = static_cast<size_t>(v) * words + static_cast<size_t>(i);
        const __m512i* column = w + (v * kWords + i) * 3;
        const __m512i x0 = _mm512_xor_si512(column[0], word_at(row0 + at));
        const __m512i x1 = _mm512_xor_si512(column[1], word_at(row1 + at));
        const __m512i s = _mm512_xor_si512(column[2], word_at(parity + at));
        const __m512i c = _mm512_ternarylogic_epi32(x0, x1, s, 0xd4);  // x0 = x1 ? x0 : not s
        ones = _mm512_add_epi32(ones, _mm512_popcnt_epi32(s));
        twos = _mm512_add_epi32(twos, _mm512_popcnt_epi32(c));
      }
    }
    const __m512i before = kFirst ? all : _mm512_load_si512(acc);
    _mm512_store_si512(acc, _mm512_dpwssd_epi32(_mm512_dpwssd_epi32(before, ones, minus2), twos, minus4));
  }
}

void run_columns(const RowConv& conv, const uint32_t* packed, const uint8_t* const* rows, int pixels, int32_t* acc,
                 uint32_t* parity) noexcept {
  const size_t words = words_of(conv), padded = conv.c_out_padded();
  const uint32_t* row[3];
  for (int u = 0; u < 3; ++u) row[u] = reinterpret_cast<const uint32_t*>(rows[u]);
  for (size_t i = 0; i < row_words(conv, pixels); i += kLanes) {  // reads up to 64 bytes behind the last pixel
    const __m512i a = _mm512_loadu_si512(row[0] + i), b = _mm512_loadu_si512(row[1] + i), c = _mm512_loadu_si512(row[2] + i);
    _mm512_store_si512(parity + i, _mm512_ternarylogic_epi32(a, b, c, 0x96));
  }
  const int terms = conv.c_in * 9;
  for (int x = 0; x < pixels; x += kStrip) {
    const int count = std::min(kStrip, pixels - x);
    const size_t start = static_cast<size_t>(x) * words;
    int32_t* sums = acc + static_cast<size_t>(x) * padded;
    for (size_t first = 0; first < padded; first += kLanes, sums += kLanes) {
      const uint32_t* block = packed + first * 9 * words;
      for (size_t word = 0; word < words; word += 2) {
        const __m512i* w = reinterpret_cast<const __m512i*>(block + word * 9 * kLanes);
        const size_t at = start + word;
        const auto pass = words - word == 1 ? (word ? columns_pass<1, false> : columns_pass<1, true>)
                                            : (word ? columns_pass<2, false> : columns_pass<2, true>);
        pass(row[0] + at, row[1] + at, parity + at, words, w, count, terms, sums, padded);
      }
    }
  }
}

// Any kernel: xor, count, add, for kPixels pixels per load of a weight.
constexpr int kPixels = 8;

void run_taps(const RowConv& conv, const uint32_t* packed, const uint8_t* const* rows, int pixels, int32_t* acc) noexcept {
  const size_t words = words_of(conv), padded = conv.c_out_padded();
  const __m512i all = _mm512_set1_epi32(conv.c_in * conv.kh * conv.kw);
  for (int x = 0; x < pixels; x += kPixels) {  // sums of pixels behind the last one are written too
    const __m512i* w = reinterpret_cast<const __m512i*>(packed);
    for (size_t first = 0; first < padded; first += kLanes) {
      __m512i count[kPixels];
      for (int p = 0; p < kPixels; ++p) count[p] = _mm512_setzero_si512();
      for (int u = 0; u < conv.kh; ++u) {
        const uint32_t* a = reinterpret_cast<const uint32_t*>(rows[u]) + static_cast<size_t>(x) * words;
        for (size_t i = 0; i < static_cast<size_t>(conv.kw) * words; ++i, ++w) {
          const __m512i weight = _mm512_load_si512(w);
#pragma GCC unroll 8
          for (size_t p = 0; p < kPixels; ++p) {
            count[p] = _mm512_add_epi32(count[p], _mm512_popcnt_epi32(_mm512_xor_si512(weight, word_at(a + i + p * words))));
          }
        }
      }
      int32_t* sums = acc + static_cast<size_t>(x) * padded + first;
      for (size_t p = 0; p < kPixels; ++p) {
        _mm512_store_si512(sums + p * padded, _mm512_sub_epi32(all, _mm512_add_epi32(count[p], count[p])));
      }
    }
  }
}

void run(const RowConv& conv, const void* packed, const uint8_t* const* rows, int pixels, void* acc, void* scratch) noexcept {
  const uint32_t* w = static_cast<const uint32_t*>(packed);
  int32_t* sums = static_cast<int32_t*>(acc);
  if (by_columns(conv)) {
    run_columns(conv, w, rows, pixels, sums, static_cast<uint32_t*>(scratch));
  } else {
    run_taps(conv, w, rows, pixels, sums);
  }
}

}  // namespace

extern const RowKernel conv_bits_avx512 = {"conv_b1b1_avx512", Isa::kAvx512, Input::kBits, 1,  accept,
                                           packed_bytes,       pack,         scratch_bytes, run};

}  // namespace qsr
QSR_TARGET_END
#endif
