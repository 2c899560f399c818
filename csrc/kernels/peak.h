// What one core of this machine can do at most with each family's inner instructions, measured in place: no memory, no
// remainder, only the instructions, enough of them in flight. `qsr bench` quotes shares of these.
#pragma once

#include "base/isa.h"

namespace qsr {

struct Peak {
  double float_macs = 0;  // fp32 fused multiply-adds per second
  double byte_macs = 0;   // u8 x s8: vpdpbusd; AVX2: vpmaddubsw + vpaddw (16-bit sums, as the kernels of up to 4 bits use)
  double bit_macs = 0;    // w1a1: vpxor + vpopcntq + vpaddq; AVX2: vpshufb as a table of four channels + vpaddb
};

// About `milliseconds` per entry, the fastest of several short bursts. All zero for kPortable and for a set that this
// machine lacks: there is no instruction to be the measure.
Peak measure_peak(Isa isa, double milliseconds) noexcept;

}  // namespace qsr
