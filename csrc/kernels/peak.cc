#include "kernels/peak.h"

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace qsr {
namespace {

#if QSR_X86

// Twelve independent chains of one instruction (or of a small group) on registers 0..11; registers 12..31 are operands.
// clang-format off
#define TWELVE(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define LOOP(body) "1:\n" body "dec %[n]\n jnz 1b\n"
#define CLOBBERS "xmm0","xmm1","xmm2","xmm3","xmm4","xmm5","xmm6","xmm7","xmm8","xmm9","xmm10","xmm11","xmm12","xmm13","xmm14","xmm15","cc"
#define CLOBBERS512 "xmm16","xmm17","xmm18","xmm19","xmm20","xmm21","xmm22","xmm23","xmm24","xmm25","xmm26","xmm27",CLOBBERS
#define ZERO(r) "vpxor %%xmm" #r ",%%xmm" #r ",%%xmm" #r "\n"
#define ZERO_ALL TWELVE(ZERO) ZERO(12) ZERO(13) ZERO(14) ZERO(15)
#define FMA512(r) "vfmadd231ps %%zmm12,%%zmm13,%%zmm" #r "\n"
#define DOT512(r) "vpdpbusd %%zmm12,%%zmm13,%%zmm" #r "\n"
#define FMA256(r) "vfmadd231ps %%ymm12,%%ymm13,%%ymm" #r "\n"
// independent temporaries, so that only the sums are chains
#define BIT512(r, t) "vpxorq %%zmm12,%%zmm13,%%zmm" #t "\n vpopcntq %%zmm" #t ",%%zmm" #t "\n vpaddq %%zmm" #t ",%%zmm" #r ",%%zmm" #r "\n"
#define BITS512 BIT512(0,16) BIT512(1,17) BIT512(2,18) BIT512(3,19) BIT512(4,20) BIT512(5,21) BIT512(6,22) BIT512(7,23) BIT512(8,24) BIT512(9,25) BIT512(10,26) BIT512(11,27)
#define PAIR256(op, add, r, t) op " %%ymm12,%%ymm13,%%ymm" #t "\n " add " %%ymm" #t ",%%ymm" #r ",%%ymm" #r "\n"
#define PAIRS256(op, add) PAIR256(op,add,0,14) PAIR256(op,add,1,15) PAIR256(op,add,2,14) PAIR256(op,add,3,15) PAIR256(op,add,4,14) PAIR256(op,add,5,15) \
  PAIR256(op,add,6,14) PAIR256(op,add,7,15) PAIR256(op,add,8,14) PAIR256(op,add,9,15) PAIR256(op,add,10,14) PAIR256(op,add,11,15)

QSR_TARGET_AVX512
void float512(int64_t n) noexcept { __asm__ volatile(ZERO_ALL LOOP(TWELVE(FMA512)) "vzeroupper\n" : [n] "+r"(n)::CLOBBERS); }
void byte512(int64_t n) noexcept { __asm__ volatile(ZERO_ALL LOOP(TWELVE(DOT512)) "vzeroupper\n" : [n] "+r"(n)::CLOBBERS); }
void bit512(int64_t n) noexcept { __asm__ volatile(ZERO_ALL LOOP(BITS512) "vzeroupper\n" : [n] "+r"(n)::CLOBBERS512); }
QSR_TARGET_END

QSR_TARGET_AVX2
void float256(int64_t n) noexcept { __asm__ volatile(ZERO_ALL LOOP(TWELVE(FMA256)) "vzeroupper\n" : [n] "+r"(n)::CLOBBERS); }
void byte256(int64_t n) noexcept { __asm__ volatile(ZERO_ALL LOOP(PAIRS256("vpmaddubsw", "vpaddw")) "vzeroupper\n" : [n] "+r"(n)::CLOBBERS); }
void bit256(int64_t n) noexcept { __asm__ volatile(ZERO_ALL LOOP(PAIRS256("vpshufb", "vpaddb")) "vzeroupper\n" : [n] "+r"(n)::CLOBBERS); }
QSR_TARGET_END
// clang-format on

constexpr int kChains = 12;

// MACs per second of `burst`, which does kChains * lanes of them per turn.
double rate(void (*burst)(int64_t) noexcept, double macs_per_turn, double milliseconds) noexcept {
  using Clock = std::chrono::steady_clock;
  constexpr int64_t kTurns = 20000;
  double best = 0;
  const auto start = Clock::now();
  do {
    const auto begin = Clock::now();
    burst(kTurns);
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    best = std::max(best, kTurns * macs_per_turn / std::max(seconds, 1e-9));
  } while (std::chrono::duration<double, std::milli>(Clock::now() - start).count() < milliseconds);
  return best;
}

#endif

}  // namespace

Peak measure_peak(Isa isa, double milliseconds) noexcept {
  Peak peak;
#if QSR_X86
  if (!isa_supported(isa)) return peak;
  if (isa == Isa::kAvx512) {
    peak.float_macs = rate(float512, kChains * 16, milliseconds);
    peak.byte_macs = rate(byte512, kChains * 64, milliseconds);
    peak.bit_macs = rate(bit512, kChains * 512, milliseconds);
  } else if (isa == Isa::kAvx2) {
    peak.float_macs = rate(float256, kChains * 8, milliseconds);
    peak.byte_macs = rate(byte256, kChains * 32, milliseconds);
    peak.bit_macs = rate(bit256, kChains * 128, milliseconds);
  }
#else
  (void)isa;
  (void)milliseconds;
#endif
  return peak;
}

}  // namespace qsr
