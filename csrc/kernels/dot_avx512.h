// Inner loop of the byte convolutions for AVX-512: P rows of 4-byte groups against NB vectors of 16 outputs, in registers.
//
//   out[p][j] = init[j] + sum over segments g, steps k of  dot(4 bytes at segment[g] + p * stride + 4 k, weights[g][k][j])
// where dot is vpdpbusd (four u8 x s8) or vpdpwssd (two s16 x s16) and j runs over 16 NB outputs; weights lie in the order of
// use. Assembly, because GCC 12 copies and spills the 24 accumulators of the same loop in intrinsics (three times slower).
//
// No saturation: both instructions add exact products of at most 2^17 into int32 and wrap; sums that fit int32 are exact in
// whatever order (contract.h part 3). Neither P nor the loads go beyond the bytes named above: 4 steps bytes of every row.
//
// Include behind QSR_TARGET_AVX512.
#pragma once

#include <cstddef>
#include <cstdint>

namespace qsr {
namespace {

struct DotCall {                    // read by the assembly: every field has 8 bytes
  const uint8_t* const* segment;    // `segments` of them, each the first of P rows
  int64_t segments;                 // >= 1
  int64_t steps;                    // groups of 4 bytes per segment, >= 1
  int64_t stride;                   // bytes between the P rows
  const void* weights;              // [segments][steps][16 NB][4 bytes], 64-byte aligned
  const int32_t* init;              // [16 NB], 64-byte aligned
  int32_t* out;                     // 64-byte aligned
  int64_t out_stride;               // bytes between the P rows of out, a multiple of 64
};
static_assert(sizeof(DotCall) == 64 && offsetof(DotCall, out_stride) == 56, "the assembly knows these offsets");

// Rows p = 0..11 of a base: r8, r9, r10, r11 point at rows 0, 3, 6, 9, rax is the stride.
#define QSR_R0 "(%%r8)"
#define QSR_R1 "(%%r8,%%rax)"
#define QSR_R2 "(%%r8,%%rax,2)"
#define QSR_R3 "(%%r9)"
#define QSR_R4 "(%%r9,%%rax)"
#define QSR_R5 "(%%r9,%%rax,2)"
#define QSR_R6 "(%%r10)"
#define QSR_R7 "(%%r10,%%rax)"
#define QSR_R8 "(%%r10,%%rax,2)"
#define QSR_R9 "(%%r11)"
#define QSR_R10 "(%%r11,%%rax)"
#define QSR_R11 "(%%r11,%%rax,2)"
#define QSR_ROW_BASES                                                                                              \
  "leaq (%%r8,%%rax,2),%%r9\n addq %%rax,%%r9\n leaq (%%r9,%%rax,2),%%r10\n addq %%rax,%%r10\n"                    \
  "leaq (%%r10,%%rax,2),%%r11\n addq %%rax,%%r11\n"

#define QSR_BROADCAST(row) "vpbroadcastd " QSR_R##row ",%%zmm28\n"
#define QSR_MAC(op, w, a) op " %%zmm" #w ",%%zmm28,%%zmm" #a "\n"
#define QSR_LOAD(at, base, a) "vmovdqa64 64*" #at "(" base "),%%zmm" #a "\n"
#define QSR_COPY(from, a) "vmovdqa64 %%zmm" #from ",%%zmm" #a "\n"
#define QSR_STORE(a, at, row) "vmovdqa64 %%zmm" #a ",64*" #at QSR_R##row "\n"

#define QSR_ASM(init, loads, macs, step_bytes, stores)                                                             \
  __asm__ volatile("movq (%[c]),%%rsi\n movq 8(%[c]),%%rdi\n movq 24(%[c]),%%rax\n movq 32(%[c]),%%rdx\n"          \
                   "movq 40(%[c]),%%rcx\n" init                                                                    \
                   "1:\n movq (%%rsi),%%r8\n" QSR_ROW_BASES "movq 16(%[c]),%%rcx\n .p2align 5\n2:\n" loads macs    \
                   "addq $4,%%r8\n addq $4,%%r9\n addq $4,%%r10\n addq $4,%%r11\n addq $" step_bytes ",%%rdx\n"    \
                   "decq %%rcx\n jnz 2b\n addq $8,%%rsi\n decq %%rdi\n jnz 1b\n"                                   \
                   "movq 48(%[c]),%%r8\n movq 56(%[c]),%%rax\n" QSR_ROW_BASES stores                               \
                   :                                                                                               \
                   : [c] "r"(&call)                                                                                \
                   : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc", QSR_ZMM)
#define QSR_ZMM                                                                                                    \
  "zmm0", "zmm1", "zmm2", "zmm3", "zmm4", "zmm5", "zmm6", "zmm7", "zmm8", "zmm9", "zmm10", "zmm11", "zmm12",       \
      "zmm13", "zmm14", "zmm15", "zmm16", "zmm17", "zmm18", "zmm19", "zmm20", "zmm21", "zmm22", "zmm23", "zmm24",  \
      "zmm25", "zmm26", "zmm27", "zmm28"

// Row p of a block of NB vectors has the accumulators NB p .. NB p + NB - 1, the weights are in zmm24 to zmm27.
#define QSR_INIT4 QSR_LOAD(0, "%%rcx", 0) QSR_LOAD(1, "%%rcx", 1) QSR_LOAD(2, "%%rcx", 2) QSR_LOAD(3, "%%rcx", 3)
#define QSR_COPY4(a, b, c, d) QSR_COPY(0, a) QSR_COPY(1, b) QSR_COPY(2, c) QSR_COPY(3, d)
#define QSR_MAC4(op, row, a, b, c, d) QSR_BROADCAST(row) QSR_MAC(op, 24, a) QSR_MAC(op, 25, b) QSR_MAC(op, 26, c) QSR_MAC(op, 27, d)
#define QSR_STORE4(row, a, b, c, d) QSR_STORE(a, 0, row) QSR_STORE(b, 1, row) QSR_STORE(c, 2, row) QSR_STORE(d, 3, row)
#define QSR_WEIGHTS1 QSR_LOAD(0, "%%rdx", 24)
#define QSR_WEIGHTS2 QSR_WEIGHTS1 QSR_LOAD(1, "%%rdx", 25)
#define QSR_WEIGHTS3 QSR_WEIGHTS2 QSR_LOAD(2, "%%rdx", 26)
#define QSR_WEIGHTS4 QSR_WEIGHTS3 QSR_LOAD(3, "%%rdx", 27)
#define QSR_DOT4(op)                                                                                               \
  QSR_ASM(QSR_INIT4 QSR_COPY4(4, 5, 6, 7) QSR_COPY4(8, 9, 10, 11) QSR_COPY4(12, 13, 14, 15)                        \
              QSR_COPY4(16, 17, 18, 19) QSR_COPY4(20, 21, 22, 23),                                                 \
          QSR_WEIGHTS4,                                                                                            \
          QSR_MAC4(op, 0, 0, 1, 2, 3) QSR_MAC4(op, 1, 4, 5, 6, 7) QSR_MAC4(op, 2, 8, 9, 10, 11)                    \
              QSR_MAC4(op, 3, 12, 13, 14, 15) QSR_MAC4(op, 4, 16, 17, 18, 19) QSR_MAC4(op, 5, 20, 21, 22, 23),     \
          "256",                                                                                                   \
          QSR_STORE4(0, 0, 1, 2, 3) QSR_STORE4(1, 4, 5, 6, 7) QSR_STORE4(2, 8, 9, 10, 11)                          \
              QSR_STORE4(3, 12, 13, 14, 15) QSR_STORE4(4, 16, 17, 18, 19) QSR_STORE4(5, 20, 21, 22, 23))

#define QSR_INIT3 QSR_LOAD(0, "%%rcx", 0) QSR_LOAD(1, "%%rcx", 1) QSR_LOAD(2, "%%rcx", 2)
#define QSR_COPY3(a, b, c) QSR_COPY(0, a) QSR_COPY(1, b) QSR_COPY(2, c)
#define QSR_MAC3(op, row, a, b, c) QSR_BROADCAST(row) QSR_MAC(op, 24, a) QSR_MAC(op, 25, b) QSR_MAC(op, 26, c)
#define QSR_STORE3(row, a, b, c) QSR_STORE(a, 0, row) QSR_STORE(b, 1, row) QSR_STORE(c, 2, row)
#define QSR_DOT3(op)                                                                                               \
  QSR_ASM(QSR_INIT3 QSR_COPY3(3, 4, 5) QSR_COPY3(6, 7, 8) QSR_COPY3(9, 10, 11) QSR_COPY3(12, 13, 14)               \
              QSR_COPY3(15, 16, 17) QSR_COPY3(18, 19, 20) QSR_COPY3(21, 22, 23),                                   \
          QSR_WEIGHTS3,                                                                                            \
          QSR_MAC3(op, 0, 0, 1, 2) QSR_MAC3(op, 1, 3, 4, 5) QSR_MAC3(op, 2, 6, 7, 8) QSR_MAC3(op, 3, 9, 10, 11)    \
              QSR_MAC3(op, 4, 12, 13, 14) QSR_MAC3(op, 5, 15, 16, 17) QSR_MAC3(op, 6, 18, 19, 20)                  \
                  QSR_MAC3(op, 7, 21, 22, 23),                                                                     \
          "192",                                                                                                   \
          QSR_STORE3(0, 0, 1, 2) QSR_STORE3(1, 3, 4, 5) QSR_STORE3(2, 6, 7, 8) QSR_STORE3(3, 9, 10, 11)            \
              QSR_STORE3(4, 12, 13, 14) QSR_STORE3(5, 15, 16, 17) QSR_STORE3(6, 18, 19, 20) QSR_STORE3(7, 21, 22, 23))

#define QSR_INIT2 QSR_LOAD(0, "%%rcx", 0) QSR_LOAD(1, "%%rcx", 1)
#define QSR_COPY2(a, b) QSR_COPY(0, a) QSR_COPY(1, b)
#define QSR_MAC2(op, row, a, b) QSR_BROADCAST(row) QSR_MAC(op, 24, a) QSR_MAC(op, 25, b)
#define QSR_STORE2(row, a, b) QSR_STORE(a, 0, row) QSR_STORE(b, 1, row)
#define QSR_DOT2(op)                                                                                               \
  QSR_ASM(QSR_INIT2 QSR_COPY2(2, 3) QSR_COPY2(4, 5) QSR_COPY2(6, 7) QSR_COPY2(8, 9) QSR_COPY2(10, 11)              \
              QSR_COPY2(12, 13) QSR_COPY2(14, 15) QSR_COPY2(16, 17) QSR_COPY2(18, 19) QSR_COPY2(20, 21)            \
                  QSR_COPY2(22, 23),                                                                               \
          QSR_WEIGHTS2,                                                                                            \
          QSR_MAC2(op, 0, 0, 1) QSR_MAC2(op, 1, 2, 3) QSR_MAC2(op, 2, 4, 5) QSR_MAC2(op, 3, 6, 7)                  \
              QSR_MAC2(op, 4, 8, 9) QSR_MAC2(op, 5, 10, 11) QSR_MAC2(op, 6, 12, 13) QSR_MAC2(op, 7, 14, 15)        \
                  QSR_MAC2(op, 8, 16, 17) QSR_MAC2(op, 9, 18, 19) QSR_MAC2(op, 10, 20, 21) QSR_MAC2(op, 11, 22, 23), \
          "128",                                                                                                   \
          QSR_STORE2(0, 0, 1) QSR_STORE2(1, 2, 3) QSR_STORE2(2, 4, 5) QSR_STORE2(3, 6, 7) QSR_STORE2(4, 8, 9)      \
              QSR_STORE2(5, 10, 11) QSR_STORE2(6, 12, 13) QSR_STORE2(7, 14, 15) QSR_STORE2(8, 16, 17)              \
                  QSR_STORE2(9, 18, 19) QSR_STORE2(10, 20, 21) QSR_STORE2(11, 22, 23))

#define QSR_COPY1(a) QSR_COPY(0, a)
#define QSR_MAC1(op, row, a) QSR_BROADCAST(row) QSR_MAC(op, 24, a)
#define QSR_DOT1(op)                                                                                               \
  QSR_ASM(QSR_LOAD(0, "%%rcx", 0) QSR_COPY1(1) QSR_COPY1(2) QSR_COPY1(3) QSR_COPY1(4) QSR_COPY1(5) QSR_COPY1(6)    \
              QSR_COPY1(7) QSR_COPY1(8) QSR_COPY1(9) QSR_COPY1(10) QSR_COPY1(11),                                  \
          QSR_WEIGHTS1,                                                                                            \
          QSR_MAC1(op, 0, 0) QSR_MAC1(op, 1, 1) QSR_MAC1(op, 2, 2) QSR_MAC1(op, 3, 3) QSR_MAC1(op, 4, 4)           \
              QSR_MAC1(op, 5, 5) QSR_MAC1(op, 6, 6) QSR_MAC1(op, 7, 7) QSR_MAC1(op, 8, 8) QSR_MAC1(op, 9, 9)       \
                  QSR_MAC1(op, 10, 10) QSR_MAC1(op, 11, 11),                                                       \
          "64",                                                                                                    \
          QSR_STORE(0, 0, 0) QSR_STORE(1, 0, 1) QSR_STORE(2, 0, 2) QSR_STORE(3, 0, 3) QSR_STORE(4, 0, 4)           \
              QSR_STORE(5, 0, 5) QSR_STORE(6, 0, 6) QSR_STORE(7, 0, 7) QSR_STORE(8, 0, 8) QSR_STORE(9, 0, 9)       \
                  QSR_STORE(10, 0, 10) QSR_STORE(11, 0, 11))

// Rows per call for NB vectors of outputs: 24 accumulators (12 for one vector: its loads are the limit).
constexpr int dot_rows(int nb) noexcept { return nb == 4 ? 6 : nb == 3 ? 8 : 12; }

// words: vpdpwssd, else vpdpbusd
template <int NB, bool words>
inline void dot(const DotCall& call) noexcept {
  if constexpr (NB == 4 && !words) QSR_DOT4("vpdpbusd");
  if constexpr (NB == 3 && !words) QSR_DOT3("vpdpbusd");
  if constexpr (NB == 2 && !words) QSR_DOT2("vpdpbusd");
  if constexpr (NB == 1 && !words) QSR_DOT1("vpdpbusd");
  if constexpr (NB == 4 && words) QSR_DOT4("vpdpwssd");
  if constexpr (NB == 3 && words) QSR_DOT3("vpdpwssd");
  if constexpr (NB == 2 && words) QSR_DOT2("vpdpwssd");
  if constexpr (NB == 1 && words) QSR_DOT1("vpdpwssd");
}

// --- four products at once, folded while they are in registers: with q = 0..3 and P = 3 rows
//   m[q][p][j] = init[q][j] + sum over steps k of dot(4 bytes at v + q * v_down + p * stride + 4 k, weights[k][q][j])
//   out[p][j] = m[0] + m[1] + m[2],  out[out_down + p][j] = m[1] - m[2] - m[3]
// which is the output transform of Winograd F(2) and halves what goes through memory.
struct FoldCall {
  const uint8_t* v;
  int64_t v_down, stride, steps;
  const void* weights;  // [steps][4][16 NB][4 bytes], 64-byte aligned
  const int32_t* init;  // 64-byte aligned, as init_down
  int64_t init_down;    // bytes between init[q]
  int32_t* out;         // 64-byte aligned, as out_stride and out_down
  int64_t out_stride, out_down;  // bytes
};
static_assert(sizeof(FoldCall) == 80 && offsetof(FoldCall, out_down) == 72, "the assembly knows these offsets");
constexpr int kFoldRows = 3;

// row 3 q + p: r8 to r11 point at row 0 of each q
#define QSR_FOLD(init, macs, step_bytes, folds, stores0, stores1)                                                  \
  __asm__ volatile("movq 40(%[c]),%%rcx\n movq 48(%[c]),%%rdi\n" init                                              \
                   "movq (%[c]),%%r8\n movq 8(%[c]),%%rdi\n leaq (%%r8,%%rdi),%%r9\n leaq (%%r9,%%rdi),%%r10\n"    \
                   "leaq (%%r10,%%rdi),%%r11\n movq 16(%[c]),%%rax\n movq 24(%[c]),%%rcx\n movq 32(%[c]),%%rdx\n"  \
                   ".p2align 5\n2:\n" macs                                                                         \
                   "addq $4,%%r8\n addq $4,%%r9\n addq $4,%%r10\n addq $4,%%r11\n addq $" step_bytes ",%%rdx\n"    \
                   "decq %%rcx\n jnz 2b\n" folds                                                                   \
                   "movq 56(%[c]),%%r8\n movq 64(%[c]),%%rax\n" stores0 "addq 72(%[c]),%%r8\n" stores1              \
                   :                                                                                               \
                   : [c] "r"(&call)                                                                                \
                   : "rax", "rcx", "rdx", "rdi", "r8", "r9", "r10", "r11", "memory", "cc", QSR_ZMM)
#define QSR_SUM(a, b, c, d)                                                                                        \
  "vpaddd %%zmm" #c ",%%zmm" #b ",%%zmm24\n vpsubd %%zmm" #c ",%%zmm" #b ",%%zmm" #b "\n"                          \
  "vpaddd %%zmm24,%%zmm" #a ",%%zmm" #a "\n vpsubd %%zmm" #d ",%%zmm" #b ",%%zmm" #b "\n"
#define QSR_NEXT_INIT "addq %%rdi,%%rcx\n"

#define QSR_FOLD_INIT2(a, b) QSR_LOAD(0, "%%rcx", a) QSR_LOAD(1, "%%rcx", b)
#define QSR_FOLD_WEIGHTS2(at, next) QSR_LOAD(at, "%%rdx", 24) QSR_LOAD(next, "%%rdx", 25)
#define QSR_COPY_TO(a, b, c, d, e, f) QSR_COPY(a, c) QSR_COPY(b, d) QSR_COPY(a, e) QSR_COPY(b, f)
#define QSR_FOLD2                                                                                                  \
  QSR_FOLD(QSR_FOLD_INIT2(0, 1) QSR_NEXT_INIT QSR_FOLD_INIT2(6, 7) QSR_NEXT_INIT QSR_FOLD_INIT2(12, 13) QSR_NEXT_INIT \
               QSR_FOLD_INIT2(18, 19) QSR_COPY_TO(0, 1, 2, 3, 4, 5) QSR_COPY_TO(6, 7, 8, 9, 10, 11)                \
                   QSR_COPY_TO(12, 13, 14, 15, 16, 17) QSR_COPY_TO(18, 19, 20, 21, 22, 23),                        \
           QSR_FOLD_WEIGHTS2(0, 1) QSR_MAC2("vpdpbusd", 0, 0, 1) QSR_MAC2("vpdpbusd", 1, 2, 3) QSR_MAC2("vpdpbusd", 2, 4, 5) \
           QSR_FOLD_WEIGHTS2(2, 3) QSR_MAC2("vpdpbusd", 3, 6, 7) QSR_MAC2("vpdpbusd", 4, 8, 9) QSR_MAC2("vpdpbusd", 5, 10, 11) \
           QSR_FOLD_WEIGHTS2(4, 5) QSR_MAC2("vpdpbusd", 6, 12, 13) QSR_MAC2("vpdpbusd", 7, 14, 15) QSR_MAC2("vpdpbusd", 8, 16, 17) \
           QSR_FOLD_WEIGHTS2(6, 7) QSR_MAC2("vpdpbusd", 9, 18, 19) QSR_MAC2("vpdpbusd", 10, 20, 21) QSR_MAC2("vpdpbusd", 11, 22, 23), \
           "512",                                                                                                  \
           QSR_SUM(0, 6, 12, 18) QSR_SUM(1, 7, 13, 19) QSR_SUM(2, 8, 14, 20) QSR_SUM(3, 9, 15, 21)                 \
               QSR_SUM(4, 10, 16, 22) QSR_SUM(5, 11, 17, 23),                                                      \
           QSR_STORE2(0, 0, 1) QSR_STORE2(1, 2, 3) QSR_STORE2(2, 4, 5),                                            \
           QSR_STORE2(0, 6, 7) QSR_STORE2(1, 8, 9) QSR_STORE2(2, 10, 11))

#define QSR_FOLD_INIT1(a, b, c) QSR_LOAD(0, "%%rcx", a) QSR_COPY(a, b) QSR_COPY(a, c)
#define QSR_FOLD_MACS1(at, r, s, t, a, b, c)                                                                       \
  QSR_LOAD(at, "%%rdx", 24) QSR_MAC1("vpdpbusd", r, a) QSR_MAC1("vpdpbusd", s, b) QSR_MAC1("vpdpbusd", t, c)
#define QSR_FOLD1                                                                                                  \
  QSR_FOLD(QSR_FOLD_INIT1(0, 1, 2) QSR_NEXT_INIT QSR_FOLD_INIT1(3, 4, 5) QSR_NEXT_INIT QSR_FOLD_INIT1(6, 7, 8)     \
               QSR_NEXT_INIT QSR_FOLD_INIT1(9, 10, 11),                                                            \
           QSR_FOLD_MACS1(0, 0, 1, 2, 0, 1, 2) QSR_FOLD_MACS1(1, 3, 4, 5, 3, 4, 5)                                 \
               QSR_FOLD_MACS1(2, 6, 7, 8, 6, 7, 8) QSR_FOLD_MACS1(3, 9, 10, 11, 9, 10, 11),                        \
           "256", QSR_SUM(0, 3, 6, 9) QSR_SUM(1, 4, 7, 10) QSR_SUM(2, 5, 8, 11),                                   \
           QSR_STORE(0, 0, 0) QSR_STORE(1, 0, 1) QSR_STORE(2, 0, 2),                                               \
           QSR_STORE(3, 0, 0) QSR_STORE(4, 0, 1) QSR_STORE(5, 0, 2))

template <int NB>
inline void dot_fold(const FoldCall& call) noexcept {
  static_assert(NB == 1 || NB == 2, "vectors of outputs");
  if constexpr (NB == 2) QSR_FOLD2;
  if constexpr (NB == 1) QSR_FOLD1;
}

}  // namespace
}  // namespace qsr
