// Direct convolutions of bytes for AVX2: vpmaddubsw while the codes are small enough for it, vpmaddwd for all others.
//
// Overflow: vpmaddubsw saturates at int16, so what it may be used for follows from the codes (dot_avx2.h): 2 F |a w| <= 32767
// with F = 4, 2 or 1. 4 against 4 bits: 15 * 8, F = 4; 6 against 6 bits: 63 * 32, F = 4; 7 against 8 bits: 127 * 128, F = 1;
// 255 * 128 does not fit and is left to vpmaddwd on int16. Sums are int32 and wrap; what fits in the end is exact.
#include <algorithm>
#include <cstring>

#include "kernels/conv_bytes.h"

#if QSR_X86
#include <immintrin.h>

QSR_TARGET_AVX2
#include "kernels/dot_avx2.h"

namespace qsr {
namespace {

constexpr size_t kOutputs = 8;  // of one block

// The largest product that stored bytes and weights have.
int most(const RowConv& conv) noexcept { return (conv.a_max + conv.zero()) * std::max(conv.w_max, -conv.w_min); }

bool accepts_u7s8(const RowConv& conv) noexcept { return conv.w_min >= -128 && conv.w_max <= 127 && flush(most(conv)) > 0; }
bool accepts_u8s16(const RowConv&) noexcept { return true; }

// Groups of 4 bytes per tap, in whole turns. Behind c_in they meet weights of 0; of a pixel with a multiple of 32 bytes no
// group lies beyond it.
template <bool words>
size_t steps(const RowConv& conv) noexcept { return words ? round_up(static_cast<size_t>(conv.c_in), 4) / 2 : round_up(static_cast<size_t>(conv.c_in), 16) / 4; }

// c_out_padded corrections of int32, then [block of 8][tap][step][8][4 bytes]
template <bool words>
size_t packed_bytes(const RowConv& conv) noexcept {
  return 4 * conv.c_out_padded() * (1 + static_cast<size_t>(conv.kh * conv.kw) * steps<words>(conv));
}

template <bool words>
void pack(const RowConv& conv, const void* weights, void* packed) noexcept {
  std::memset(packed, 0, packed_bytes<words>(conv));
  const int16_t* source = static_cast<const int16_t*>(weights);
  int32_t* correction = static_cast<int32_t*>(packed);
  uint8_t* target = static_cast<uint8_t*>(packed) + 4 * conv.c_out_padded();
  const size_t taps = static_cast<size_t>(conv.kh * conv.kw), c_in = static_cast<size_t>(conv.c_in), group = words ? 2 : 4;
  for (size_t o = 0; o < static_cast<size_t>(conv.c_out); ++o) {
    for (size_t c = 0; c < c_in; ++c) {
      for (size_t tap = 0; tap < taps; ++tap) {
        const int16_t w = source[(o * c_in + c) * taps + tap];
        uint8_t* four = target + (((o / kOutputs * taps + tap) * steps<words>(conv) + c / group) * kOutputs + o % kOutputs) * 4;
        if constexpr (words) {
          std::memcpy(four + c % 2 * 2, &w, 2);
        } else {
          four[c % 4] = static_cast<uint8_t>(w);
        }
        correction[o] -= conv.zero() * w;
      }
    }
  }
}

// One row of all outputs. stride: bytes of a pixel in `rows`.
template <bool words>
void run_rows(const RowConv& conv, const void* packed, const uint8_t* const* rows, size_t stride, int pixels, void* acc,
              void (*dot)(const DotCall&) noexcept) noexcept {
  const size_t padded = conv.c_out_padded(), count = steps<words>(conv);
  const bool joined = 4 * count == stride;  // then the taps of a kernel row lie one behind the other
  const int across = joined ? 1 : conv.kw;
  const uint8_t* segment[kMaxSide * kMaxSide];
  DotCall call{segment, conv.kh * across, static_cast<int64_t>((joined ? count * static_cast<size_t>(conv.kw) : count) / (words ? 2 : 4)),
               static_cast<int64_t>(stride), nullptr, nullptr, nullptr, static_cast<int64_t>(4 * padded)};
  const uint8_t* weights = static_cast<const uint8_t*>(packed) + 4 * padded;
  for (size_t o = 0; o < padded; o += kOutputs) {
    call.weights = weights + 4 * o * count * static_cast<size_t>(conv.kh * conv.kw);
    call.init = static_cast<const int32_t*>(packed) + o;
    for (int x = 0; x < pixels; x += kDotRows) {  // up to 7 behind `pixels`, of the 15 that a kernel may read and write
      for (int u = 0; u < conv.kh; ++u) {
        for (int v = 0; v < across; ++v) segment[u * across + v] = rows[u] + static_cast<size_t>(x + v) * stride;
      }
      call.out = static_cast<int32_t*>(acc) + static_cast<size_t>(x) * padded + o;
      dot(call);
    }
  }
}

void run_u7s8(const RowConv& conv, const void* packed, const uint8_t* const* rows, int pixels, void* acc, void*) noexcept {
  const int f = flush(most(conv));
  run_rows<false>(conv, packed, rows, conv.pixel_bytes(), pixels, acc, f == 4 ? dot_bytes<4> : f == 2 ? dot_bytes<2> : dot_bytes<1>);
}

// --- words: the rows of bytes are widened into scratch first
void run_u8s16(const RowConv& conv, const void* packed, const uint8_t* const* rows, int pixels, void* acc, void* scratch) noexcept {
  const uint8_t* wide[kMaxSide];
  const size_t bytes = word_row(conv, pixels);
  for (int u = 0; u < conv.kh; ++u) {
    uint8_t* target = static_cast<uint8_t*>(scratch) + static_cast<size_t>(u) * bytes;
    for (size_t i = 0; i < bytes / 2; i += 16) {  // a pixel is a multiple of 32 bytes
      const __m128i codes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[u] + i));
      _mm256_store_si256(reinterpret_cast<__m256i*>(target + 2 * i), _mm256_cvtepu8_epi16(codes));
    }
    wide[u] = target;
  }
  run_rows<true>(conv, packed, wide, 2 * conv.pixel_bytes(), pixels, acc, dot_words);
}

}  // namespace

extern const RowKernel conv_u7s8_avx2 = {
    "conv_u7s8_avx2", Isa::kAvx2, Input::kBytes, 1, accepts_u7s8, packed_bytes<false>, pack<false>, no_scratch, run_u7s8};
extern const RowKernel conv_u8s16_avx2 = {
    "conv_u8s16_avx2", Isa::kAvx2, Input::kBytes, 1, accepts_u8s16, packed_bytes<true>, pack<true>, words_scratch, run_u8s16};

}  // namespace qsr
QSR_TARGET_END
#endif
