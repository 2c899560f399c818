// Inner loops of the byte convolutions for AVX2, which has no vpdpbusd: 8 rows of 4-byte groups against 8 outputs.
//
//   out[p][j] = init[j] + sum over segments g, steps k of  dot(4 bytes at segment[g] + p * stride + 4 k, weights[g][k][j])
//
// dot_bytes<F>: vpmaddubsw multiplies u8 by s8 and adds pairs into int16, saturating. F of its results are added as int16
// before vpmaddwd widens them, so a lane holds 2 F products and is exact if 2 F |a w| <= 32767. F = 4, 2, 1 cost 2.25, 2.5 and
// 3 instructions for 32 products; `flush` picks F. Steps come in fours, whatever F is: weights behind the last are 0.
// dot_words: vpmaddwd on s16, 4 instructions for 32 products, no bound but int32; two channels in a group, steps in twos.
//
// Assembly, because GCC 12 hoists the broadcasts of the same loops in intrinsics and spills. Loads do not go beyond the bytes
// named above. Include behind QSR_TARGET_AVX2.
#pragma once

#include <cstddef>
#include <cstdint>

namespace qsr {
namespace {

struct DotCall {                  // read by the assembly: every field has 8 bytes
  const uint8_t* const* segment;  // `segments` of them, each the first of 8 rows
  int64_t segments;               // >= 1
  int64_t turns;                  // steps / 4 (bytes) or steps / 2 (words), >= 1
  int64_t stride;                 // bytes between the rows
  const void* weights;            // [segments][steps][8][4 bytes], 32-byte aligned
  const int32_t* init;            // [8], 32-byte aligned
  int32_t* out;                   // 32-byte aligned
  int64_t out_stride;             // bytes between the rows of out, a multiple of 32
};
static_assert(sizeof(DotCall) == 64 && offsetof(DotCall, out_stride) == 56, "the assembly knows these offsets");

constexpr int kDotRows = 8;

// The largest F for products of at most `most` in size; 0: none.
constexpr int flush(int most) noexcept { return 8 * most <= 32767 ? 4 : 4 * most <= 32767 ? 2 : 2 * most <= 32767 ? 1 : 0; }

// Rows p = 0..7: r8, r9, r10 point at rows 0, 3, 6, rax is the stride.
#define QSR_R0 "(%%r8)"
#define QSR_R1 "(%%r8,%%rax)"
#define QSR_R2 "(%%r8,%%rax,2)"
#define QSR_R3 "(%%r9)"
#define QSR_R4 "(%%r9,%%rax)"
#define QSR_R5 "(%%r9,%%rax,2)"
#define QSR_R6 "(%%r10)"
#define QSR_R7 "(%%r10,%%rax)"
#define QSR_ROW_BASES "leaq (%%r8,%%rax,2),%%r9\n addq %%rax,%%r9\n leaq (%%r9,%%rax,2),%%r10\n addq %%rax,%%r10\n"
#define QSR_EACH_ROW(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)

// ymm0 to 7 sums, ymm8 to 11 weights of four steps, ymm12 ones, ymm13 to 15 products
#define QSR_INIT(p) "vmovdqa %%ymm12,%%ymm" #p "\n"
#define QSR_STORE(p) "vmovdqa %%ymm" #p "," QSR_R##p "\n"
#define QSR_MADD(p, step, w, t) "vpbroadcastd 4*" #step QSR_R##p ",%%ymm" #t "\n vpmaddubsw %%ymm" #w ",%%ymm" #t ",%%ymm" #t "\n"
#define QSR_WIDEN(p, t) "vpmaddwd %%ymm12,%%ymm" #t ",%%ymm" #t "\n vpaddd %%ymm" #t ",%%ymm" #p ",%%ymm" #p "\n"
#define QSR_ADD(t, u) "vpaddw %%ymm" #u ",%%ymm" #t ",%%ymm" #t "\n"
#define QSR_ROW4(p)                                                                                                \
  QSR_MADD(p, 0, 8, 13) QSR_MADD(p, 1, 9, 14) QSR_ADD(13, 14) QSR_MADD(p, 2, 10, 14) QSR_MADD(p, 3, 11, 15)        \
  QSR_ADD(14, 15) QSR_ADD(13, 14) QSR_WIDEN(p, 13)
#define QSR_ROW2(p)                                                                                                \
  QSR_MADD(p, 0, 8, 13) QSR_MADD(p, 1, 9, 14) QSR_ADD(13, 14) QSR_WIDEN(p, 13)                                     \
  QSR_MADD(p, 2, 10, 14) QSR_MADD(p, 3, 11, 15) QSR_ADD(14, 15) QSR_WIDEN(p, 14)
#define QSR_ROW1(p)                                                                                                \
  QSR_MADD(p, 0, 8, 13) QSR_WIDEN(p, 13) QSR_MADD(p, 1, 9, 14) QSR_WIDEN(p, 14)                                    \
  QSR_MADD(p, 2, 10, 15) QSR_WIDEN(p, 15) QSR_MADD(p, 3, 11, 13) QSR_WIDEN(p, 13)
#define QSR_WORD(p, step, w, t)                                                                                    \
  "vpbroadcastd 4*" #step QSR_R##p ",%%ymm" #t "\n vpmaddwd %%ymm" #w ",%%ymm" #t ",%%ymm" #t "\n"                 \
  "vpaddd %%ymm" #t ",%%ymm" #p ",%%ymm" #p "\n"
#define QSR_ROWW(p) QSR_WORD(p, 0, 8, 13) QSR_WORD(p, 1, 9, 14)
#define QSR_WEIGHTS2 "vmovdqa (%%rdx),%%ymm8\n vmovdqa 32(%%rdx),%%ymm9\n"
#define QSR_WEIGHTS4 QSR_WEIGHTS2 "vmovdqa 64(%%rdx),%%ymm10\n vmovdqa 96(%%rdx),%%ymm11\n"

#define QSR_DOT(load, row, row_bytes, weight_bytes)                                                                \
  __asm__ volatile("movq (%[c]),%%rsi\n movq 8(%[c]),%%rdi\n movq 24(%[c]),%%rax\n movq 32(%[c]),%%rdx\n"          \
                   "movq 40(%[c]),%%rcx\n vmovdqa (%%rcx),%%ymm12\n" QSR_EACH_ROW(QSR_INIT)                        \
                   "vpcmpeqw %%ymm12,%%ymm12,%%ymm12\n vpsrlw $15,%%ymm12,%%ymm12\n"                               \
                   "1:\n movq (%%rsi),%%r8\n" QSR_ROW_BASES "movq 16(%[c]),%%rcx\n .p2align 5\n2:\n" load          \
                   QSR_EACH_ROW(row)                                                                               \
                   "addq $" row_bytes ",%%r8\n addq $" row_bytes ",%%r9\n addq $" row_bytes ",%%r10\n"             \
                   "addq $" weight_bytes ",%%rdx\n decq %%rcx\n jnz 2b\n addq $8,%%rsi\n decq %%rdi\n jnz 1b\n"    \
                   "movq 48(%[c]),%%r8\n movq 56(%[c]),%%rax\n" QSR_ROW_BASES QSR_EACH_ROW(QSR_STORE)              \
                   :                                                                                               \
                   : [c] "r"(&call)                                                                                \
                   : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "memory", "cc", QSR_YMM)
#define QSR_YMM                                                                                                    \
  "ymm0", "ymm1", "ymm2", "ymm3", "ymm4", "ymm5", "ymm6", "ymm7", "ymm8", "ymm9", "ymm10", "ymm11", "ymm12",       \
      "ymm13", "ymm14", "ymm15"

template <int F>
inline void dot_bytes(const DotCall& call) noexcept {
  static_assert(F == 4 || F == 2 || F == 1, "as many are added as int16");
  if constexpr (F == 4) QSR_DOT(QSR_WEIGHTS4, QSR_ROW4, "16", "128");
  if constexpr (F == 2) QSR_DOT(QSR_WEIGHTS4, QSR_ROW2, "16", "128");
  if constexpr (F == 1) QSR_DOT(QSR_WEIGHTS4, QSR_ROW1, "16", "128");
}

inline void dot_words(const DotCall& call) noexcept { QSR_DOT(QSR_WEIGHTS2, QSR_ROWW, "8", "64"); }

}  // namespace
}  // namespace qsr
