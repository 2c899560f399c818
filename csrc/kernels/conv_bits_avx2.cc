// One bit times one bit on AVX2, which cannot count bits: tables of 16 entries, looked up by vpshufb.
//
//   sum = terms - 2 * popcount(a ^ w),   terms = c_in * kh * kw
//
// Four channels of a pixel are a table, T[i] = popcount(a ^ i); four channels of a weight are an index into it, one byte per
// output. A lookup (vpshufb) and an addition of bytes do 32 outputs x 4 channels = 128 products. Tables are made from the
// input for a strip of pixels, small enough to stay in L1 with the indices; kTileRows rows of output share them.
//
// The lookups of one kernel row are contiguous, for pixel x as well as for the weights: tables [pixel][group of 4 channels],
// indices [kernel row][kernel column][group][outputs].
//
// Overflow: an entry is at most 4, bytes take 63 lookups (252); kSegment = 56 of them are added, then widened to uint16.
// These count at most terms bits, and terms <= 65535 is asked for (`accept`); 2 * 65535 is nothing to an int32.
#include "base/isa.h"
#if QSR_X86
#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "kernels/conv_rows.h"

QSR_TARGET_AVX2

namespace qsr {
namespace {

constexpr int kTileRows = 2;
constexpr int kStrip = 24;      // pixels per strip, a multiple of both steps
constexpr size_t kSegment = 56;
constexpr size_t kTable = 16;   // bytes

size_t words_of(const RowConv& conv) noexcept { return conv.pixel_bytes() / 4; }
size_t groups_of(const RowConv& conv) noexcept { return 8 * words_of(conv); }
size_t outputs_of(const RowConv& conv) noexcept { return round_up(static_cast<size_t>(conv.c_out), 32); }

bool accept(const RowConv& conv) noexcept { return int64_t{conv.c_in} * conv.kh * conv.kw <= 65535; }

// Indices: blocks of 64 outputs (a last one may be of 32), each [tap][group][outputs].
size_t packed_bytes(const RowConv& conv) noexcept { return static_cast<size_t>(conv.kh * conv.kw) * groups_of(conv) * outputs_of(conv); }

void pack(const RowConv& conv, const void* weights, void* packed) noexcept {
  std::memset(packed, 0, packed_bytes(conv));
  const int16_t* source = static_cast<const int16_t*>(weights);
  uint8_t* target = static_cast<uint8_t*>(packed);
  const size_t taps = static_cast<size_t>(conv.kh * conv.kw), lookups = taps * groups_of(conv);
  for (size_t o = 0; o < static_cast<size_t>(conv.c_out); ++o) {
    const size_t first = o / 64 * 64, width = std::min<size_t>(64, outputs_of(conv) - first);
    for (size_t c = 0; c < static_cast<size_t>(conv.c_in); ++c) {
      for (size_t tap = 0; tap < taps; ++tap) {
        if (*source++ >= 0) continue;
        uint8_t& index = target[first * lookups + (tap * groups_of(conv) + c / 4) * width + (o - first)];
        index = static_cast<uint8_t>(index | 1 << (c % 4));
      }
    }
  }
}

size_t strip_bytes(const RowConv& conv) noexcept { return (kStrip + static_cast<size_t>(conv.kw - 1)) * groups_of(conv) * kTable; }

size_t scratch_bytes(const RowConv& conv, int) noexcept { return strip_bytes(conv) * static_cast<size_t>(conv.kh - 1 + kTileRows); }

// Tables of `count` words of 32 channels, 128 bytes each. Low nibbles in the lower half of a register, high ones in the upper.
void make_tables(const uint8_t* row, size_t count, uint8_t* tables) noexcept {
  const __m256i entries = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
  const __m256i index = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
  const __m256i shift = _mm256_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4), nibble = _mm256_set1_epi8(15);
  for (size_t i = 0; i < count; ++i, tables += 8 * kTable) {
    int32_t word;
    std::memcpy(&word, row + 4 * i, 4);
    const __m256i nibbles = _mm256_and_si256(_mm256_srlv_epi32(_mm256_set1_epi32(word), shift), nibble);
    for (int k = 0; k < 4; ++k) {
      const __m256i a = _mm256_shuffle_epi8(nibbles, _mm256_set1_epi8(static_cast<char>(k)));
      _mm256_store_si256(reinterpret_cast<__m256i*>(tables + 2 * kTable * static_cast<size_t>(k)),
                         _mm256_shuffle_epi8(entries, _mm256_xor_si256(index, a)));
    }
  }
}

// `count` lookups (even) for 6 pixels x 64 outputs or 12 pixels x 32 outputs, added to the bytes of sum[12]: registers 2 p and
// 2 p + 1 are pixel p, or register p is. stride: bytes between the tables of neighbouring pixels. Assembly, because GCC 12
// is known to load all tables of such a loop first and to spill the sums.
#define QSR_TWO(at, a, b)                                                                             \
  "vbroadcasti128 " at ", %%ymm14\n\tvpshufb %%ymm12, %%ymm14, %%ymm15\n\tvpaddb %%ymm15, %" a ", %" a \
  "\n\tvpshufb %%ymm13, %%ymm14, %%ymm14\n\tvpaddb %%ymm14, %" b ", %" b "\n\t"
#define QSR_ONE(at, a) "vbroadcasti128 " at ", %%ymm14\n\tvpshufb %%ymm12, %%ymm14, %%ymm14\n\tvpaddb %%ymm14, %" a ", %" a "\n\t"
#define QSR_SUMS                                                                                                               \
  "+x"(sum[0]), "+x"(sum[1]), "+x"(sum[2]), "+x"(sum[3]), "+x"(sum[4]), "+x"(sum[5]), "+x"(sum[6]), "+x"(sum[7]), "+x"(sum[8]), \
      "+x"(sum[9]), "+x"(sum[10]), "+x"(sum[11])
#define QSR_INPUTS [tables] "r"(tables), [indices] "r"(indices), [stride] "r"(stride), [count] "r"(count)
// rax, rdx: tables and indices, rcx, r8: 3 and 5 strides, r9: what is left; r10: pixel 6
#define QSR_START                                                                                  \
  "mov %[tables], %%rax\n\tmov %[indices], %%rdx\n\tlea (%[stride],%[stride],2), %%rcx\n\t"         \
  "lea (%[stride],%[stride],4), %%r8\n\tmov %[count], %%r9\n\t"
#define QSR_CLOBBERED "rax", "rcx", "rdx", "r8", "r9", "r10", "cc", "memory", "ymm12", "ymm13", "ymm14", "ymm15"

#define QSR_SIX(offset)                                                                                  \
  QSR_TWO(offset "(%%rax)", "0", "1") QSR_TWO(offset "(%%rax,%[stride])", "2", "3")                      \
      QSR_TWO(offset "(%%rax,%[stride],2)", "4", "5") QSR_TWO(offset "(%%rax,%%rcx)", "6", "7")          \
          QSR_TWO(offset "(%%rax,%[stride],4)", "8", "9") QSR_TWO(offset "(%%rax,%%r8)", "10", "11")

inline void look_up_64(const uint8_t* tables, const uint8_t* indices, size_t stride, size_t count, __m256i* sum) noexcept {
  __asm__ volatile(QSR_START
                   ".p2align 5\n1:\n\t"
                   "vmovdqa (%%rdx), %%ymm12\n\tvmovdqa 32(%%rdx), %%ymm13\n\t" QSR_SIX("")
                   "vmovdqa 64(%%rdx), %%ymm12\n\tvmovdqa 96(%%rdx), %%ymm13\n\t" QSR_SIX("16")
                   "add $128, %%rdx\n\tadd $32, %%rax\n\tsub $2, %%r9\n\tjnz 1b\n\t"
                   : QSR_SUMS
                   : QSR_INPUTS
                   : QSR_CLOBBERED);
}

#define QSR_HALF(offset, base, a, b, c, d, e, f)                                                         \
  QSR_ONE(offset "(%%" base ")", a) QSR_ONE(offset "(%%" base ",%[stride])", b)                          \
      QSR_ONE(offset "(%%" base ",%[stride],2)", c) QSR_ONE(offset "(%%" base ",%%rcx)", d)              \
          QSR_ONE(offset "(%%" base ",%[stride],4)", e) QSR_ONE(offset "(%%" base ",%%r8)", f)
#define QSR_TWELVE(offset) \
  QSR_HALF(offset, "rax", "0", "1", "2", "3", "4", "5") QSR_HALF(offset, "r10", "6", "7", "8", "9", "10", "11")

inline void look_up_32(const uint8_t* tables, const uint8_t* indices, size_t stride, size_t count, __m256i* sum) noexcept {
  __asm__ volatile(QSR_START
                   "lea (%%rax,%%rcx,2), %%r10\n\t.p2align 5\n1:\n\t"
                   "vmovdqa (%%rdx), %%ymm12\n\t" QSR_TWELVE("") "vmovdqa 32(%%rdx), %%ymm12\n\t" QSR_TWELVE("16")
                   "add $64, %%rdx\n\tadd $32, %%rax\n\tadd $32, %%r10\n\tsub $2, %%r9\n\tjnz 1b\n\t"
                   : QSR_SUMS
                   : QSR_INPUTS
                   : QSR_CLOBBERED);
}

// kWidth outputs of a step of pixels, `live` of them stored. tables[u]: of the pixel that tap v = 0 reads in row u.
template <int kWidth>
void step(const RowConv& conv, const uint8_t* const* tables, const uint8_t* indices, int live, size_t outputs, int32_t* acc) noexcept {
  const size_t stride = groups_of(conv) * kTable, padded = conv.c_out_padded();
  const size_t row = static_cast<size_t>(conv.kw) * groups_of(conv);  // lookups
  const __m256i zero = _mm256_setzero_si256();
  __m256i total[12][2], sum[12];
  for (auto& t : total) t[0] = t[1] = zero;
  for (auto& s : sum) s = zero;
  size_t held = 0;
  const auto flush = [&]() noexcept {
    for (int i = 0; i < 12; ++i) {
      total[i][0] = _mm256_add_epi16(total[i][0], _mm256_unpacklo_epi8(sum[i], zero));
      total[i][1] = _mm256_add_epi16(total[i][1], _mm256_unpackhi_epi8(sum[i], zero));
      sum[i] = zero;
    }
    held = 0;
  };
  for (int u = 0; u < conv.kh; ++u) {
    for (size_t at = 0; at < row;) {
      const size_t count = std::min(row - at, kSegment);
      if (held + count > kSegment) flush();
      if constexpr (kWidth == 64) {
        look_up_64(tables[u] + at * kTable, indices, stride, count, sum);
      } else {
        look_up_32(tables[u] + at * kTable, indices, stride, count, sum);
      }
      indices += count * kWidth;
      at += count;
      held += count;
    }
  }
  flush();
  const __m256i terms = _mm256_set1_epi32(conv.c_in * conv.kh * conv.kw);
  constexpr int kRegisters = kWidth / 32;
  for (int p = 0; p < live; ++p, acc += padded) {
    for (size_t r = 0; r < kRegisters; ++r) {
      const auto store = [&](size_t o, __m128i counts) noexcept {
        if (o >= outputs) return;
        const __m256i differing = _mm256_cvtepu16_epi32(counts);
        _mm256_store_si256(reinterpret_cast<__m256i*>(acc + o), _mm256_sub_epi32(terms, _mm256_add_epi32(differing, differing)));
      };
      const __m256i* t = total[static_cast<size_t>(p) * kRegisters + r];  // unpacked within halves: 0-7, 16-23; 8-15, 24-31
      store(32 * r, _mm256_castsi256_si128(t[0]));
      store(32 * r + 8, _mm256_castsi256_si128(t[1]));
      store(32 * r + 16, _mm256_extracti128_si256(t[0], 1));
      store(32 * r + 24, _mm256_extracti128_si256(t[1], 1));
    }
  }
}

template <int kWidth>
void run_block(const RowConv& conv, const uint8_t* indices, const uint8_t* scratch, int pixels, size_t outputs, int32_t* acc) noexcept {
  constexpr int kStep = 12 * 32 / kWidth;
  for (int x = 0; x < pixels; x += kStep) {
    const uint8_t* tables[15];
    for (int u = 0; u < conv.kh; ++u) {
      tables[u] = scratch + static_cast<size_t>(u) * strip_bytes(conv) + static_cast<size_t>(x) * groups_of(conv) * kTable;
    }
    step<kWidth>(conv, tables, indices, std::min(kStep, pixels - x), outputs, acc + static_cast<size_t>(x) * conv.c_out_padded());
  }
}

void run(const RowConv& conv, const void* packed, const uint8_t* const* rows, int pixels, void* acc, void* scratch) noexcept {
  const size_t padded = conv.c_out_padded(), words = words_of(conv), lookups = static_cast<size_t>(conv.kh * conv.kw) * groups_of(conv);
  const size_t sum_row = round_up(static_cast<size_t>(pixels), 16) * padded;
  uint8_t* tables = static_cast<uint8_t*>(scratch);
  for (int x = 0; x < pixels; x += kStrip) {
    const int count = std::min(kStrip, pixels - x);
    // a last step takes up to 11 pixels too many, within the slack of the rows
    const size_t made = (round_up(static_cast<size_t>(count), 12) + static_cast<size_t>(conv.kw - 1)) * words;
    for (int r = 0; r < conv.kh - 1 + kTileRows; ++r) {
      make_tables(rows[r] + static_cast<size_t>(x) * conv.pixel_bytes(), made, tables + static_cast<size_t>(r) * strip_bytes(conv));
    }
    for (size_t t = 0; t < kTileRows; ++t) {
      int32_t* sums = static_cast<int32_t*>(acc) + t * sum_row + static_cast<size_t>(x) * padded;
      for (size_t first = 0; first < padded; first += 64) {
        const auto block = outputs_of(conv) - first >= 64 ? run_block<64> : run_block<32>;
        block(conv, static_cast<const uint8_t*>(packed) + first * lookups, tables + t * strip_bytes(conv), count, padded - first, sums + first);
      }
    }
  }
}

}  // namespace

extern const RowKernel conv_bits_avx2 = {"conv_b1b1_avx2", Isa::kAvx2, Input::kBits, kTileRows,    accept,
                                         packed_bytes,     pack,       scratch_bytes, run};

}  // namespace qsr
QSR_TARGET_END
#endif
