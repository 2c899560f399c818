// Direct convolutions of bytes for AVX-512 (VNNI): 8-bit weights by vpdpbusd, 9-bit ones by vpdpwssd.
//
// Overflow: the instructions add four (two) exact products, each at most 255 * 256 in size, into int32 and wrap. The true sum
// of stored bytes fits int32 (check_row_conv), and so does the sum of codes; a wrap in between cancels.
#include <algorithm>
#include <cstring>

#include "kernels/conv_bytes.h"

#if QSR_X86
#include <immintrin.h>

QSR_TARGET_AVX512
#include "kernels/dot_avx512.h"

namespace qsr {
namespace {

// Outputs are computed in blocks of 32, then a last one of 48 or 16: weights of a 3x3 convolution of 64 channels to 32 are
// 18 KiB and stay in L1 while a whole row passes.
int block_vectors(size_t vectors) noexcept { return vectors == 3 ? 3 : vectors >= 2 ? 2 : 1; }

template <bool words>
constexpr size_t group() noexcept { return words ? 2 : 4; }  // channels in 4 bytes

// Groups of channels that are multiplied. What lies behind c_in in the last one meets weights of 0.
template <bool words>
size_t groups(const RowConv& conv) noexcept { return round_up(static_cast<size_t>(conv.c_in), group<words>()) / group<words>(); }

bool accepts_u8s8(const RowConv& conv) noexcept { return conv.w_min >= -128 && conv.w_max <= 127; }
bool accepts_u8s16(const RowConv&) noexcept { return true; }

// c_out_padded corrections of int32, then [block][tap][group of channels][outputs of the block][4 bytes]
template <bool words>
size_t packed_bytes(const RowConv& conv) noexcept {
  return 4 * conv.c_out_padded() * (1 + static_cast<size_t>(conv.kh * conv.kw) * groups<words>(conv));
}

template <bool words>
void pack(const RowConv& conv, const void* weights, void* packed) noexcept {
  std::memset(packed, 0, packed_bytes<words>(conv));
  const int16_t* source = static_cast<const int16_t*>(weights);
  int32_t* correction = static_cast<int32_t*>(packed);
  uint8_t* target = static_cast<uint8_t*>(packed) + 4 * conv.c_out_padded();
  const size_t taps = static_cast<size_t>(conv.kh * conv.kw), c_in = static_cast<size_t>(conv.c_in), c_out = static_cast<size_t>(conv.c_out);
  for (size_t first = 0; first < conv.c_out_padded();) {
    const size_t outputs = 16 * static_cast<size_t>(block_vectors((conv.c_out_padded() - first) / 16));
    for (size_t o = first; o < std::min(first + outputs, c_out); ++o) {
      for (size_t c = 0; c < c_in; ++c) {
        for (size_t tap = 0; tap < taps; ++tap) {
          const int16_t w = source[(o * c_in + c) * taps + tap];
          uint8_t* four = target + ((tap * groups<words>(conv) + c / group<words>()) * outputs + (o - first)) * 4;
          if constexpr (words) {
            std::memcpy(four + c % 2 * 2, &w, 2);
          } else {
            four[c % 4] = static_cast<uint8_t>(w);
          }
          correction[o] -= conv.zero() * w;
        }
      }
    }
    target += 4 * outputs * taps * groups<words>(conv);
    first += outputs;
  }
}

// One block of NB vectors of outputs over a row. stride: bytes of a pixel in `rows`.
template <int NB, bool words>
void run_block(const RowConv& conv, const uint8_t* const* rows, size_t stride, int pixels, const uint8_t* weights, const int32_t* init,
               int32_t* sums) noexcept {
  constexpr int kRows = dot_rows(NB);
  const size_t padded = conv.c_out_padded(), steps = groups<words>(conv);
  const bool joined = 4 * steps == stride;  // then the taps of a kernel row lie one behind the other
  const int across = joined ? 1 : conv.kw;
  const uint8_t* segment[kMaxSide * kMaxSide];
  DotCall call{segment, conv.kh * across, static_cast<int64_t>(joined ? steps * static_cast<size_t>(conv.kw) : steps),
               static_cast<int64_t>(stride), weights, init, nullptr, static_cast<int64_t>(4 * padded)};
  // the last rows may be computed twice: up to 15 behind `pixels` are the kernel's to read and write, and no more
  const int last = static_cast<int>(round_up(static_cast<size_t>(pixels), 16)) - kRows;
  for (int x = 0; x < pixels; x += kRows) {
    const size_t at = static_cast<size_t>(std::min(x, last));
    for (int u = 0; u < conv.kh; ++u) {
      for (int v = 0; v < across; ++v) segment[u * across + v] = rows[u] + (at + static_cast<size_t>(v)) * stride;
    }
    call.out = sums + at * padded;
    dot<NB, words>(call);
  }
}

template <bool words>
void run_rows(const RowConv& conv, const void* packed, const uint8_t* const* rows, size_t stride, int pixels, void* acc) noexcept {
  const int32_t* correction = static_cast<const int32_t*>(packed);
  const uint8_t* weights = static_cast<const uint8_t*>(packed) + 4 * conv.c_out_padded();
  int32_t* sums = static_cast<int32_t*>(acc);
  for (size_t first = 0; first < conv.c_out_padded();) {
    const int vectors = block_vectors((conv.c_out_padded() - first) / 16);
    const auto block = vectors == 4 ? run_block<4, words> : vectors == 3 ? run_block<3, words> : vectors == 2 ? run_block<2, words> : run_block<1, words>;
    block(conv, rows, stride, pixels, weights, correction + first, sums + first);
    weights += 64 * static_cast<size_t>(vectors) * static_cast<size_t>(conv.kh * conv.kw) * groups<words>(conv);
    first += 16 * static_cast<size_t>(vectors);
  }
}

void run_u8s8(const RowConv& conv, const void* packed, const uint8_t* const* rows, int pixels, void* acc, void*) noexcept {
  run_rows<false>(conv, packed, rows, conv.pixel_bytes(), pixels, acc);
}

// --- words: the rows of bytes are widened into scratch first, kh times each over a picture; 1 of 64 of the work
void run_u8s16(const RowConv& conv, const void* packed, const uint8_t* const* rows, int pixels, void* acc, void* scratch) noexcept {
  const uint8_t* wide[kMaxSide];
  const size_t bytes = word_row(conv, pixels);
  for (int u = 0; u < conv.kh; ++u) {
    uint8_t* target = static_cast<uint8_t*>(scratch) + static_cast<size_t>(u) * bytes;
    for (size_t i = 0; i < bytes / 2; i += 32) {  // a pixel is a multiple of 32 bytes
      const __m256i codes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows[u] + i));
      _mm512_store_si512(target + 2 * i, _mm512_cvtepu8_epi16(codes));
    }
    wide[u] = target;
  }
  run_rows<true>(conv, packed, wide, 2 * conv.pixel_bytes(), pixels, acc);
}

}  // namespace

extern const RowKernel conv_u8s8_avx512 = {
    "conv_u8s8_avx512", Isa::kAvx512, Input::kBytes, 1, accepts_u8s8, packed_bytes<false>, pack<false>, no_scratch, run_u8s8};
extern const RowKernel conv_u8s16_avx512 = {
    "conv_u8s16_avx512", Isa::kAvx512, Input::kBytes, 1, accepts_u8s16, packed_bytes<true>, pack<true>, words_scratch, run_u8s16};

}  // namespace qsr
QSR_TARGET_END
#endif
