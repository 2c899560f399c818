// Instruction sets: what a processor has, what QSR_ISA allows, and how a file of intrinsics is compiled for one of them.
//
// Files of one instruction set put QSR_TARGET_AVX2 or QSR_TARGET_AVX512 behind all their includes and QSR_TARGET_END at
// their end. No flag such as -march reaches the compiler: an inline function of a header would else be compiled for one set
// in one file, and the linker might keep that copy for a processor that does not have it.
#pragma once

#include <cstdint>

#if defined(__x86_64__) || defined(_M_X64)
#define QSR_X86 1
#else
#define QSR_X86 0
#endif

#define QSR_AVX2_FEATURES "avx2,fma,f16c,bmi,bmi2,popcnt"
#define QSR_AVX512_FEATURES                                                                            \
  "avx2,fma,f16c,bmi,bmi2,popcnt,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vnni," \
  "avx512vpopcntdq,avx512bitalg"

#define QSR_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define QSR_TARGET(features) \
  QSR_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define QSR_TARGET_END QSR_PRAGMA(clang attribute pop)
#else
#define QSR_TARGET(features) QSR_PRAGMA(GCC push_options) QSR_PRAGMA(GCC target(features))
#define QSR_TARGET_END QSR_PRAGMA(GCC pop_options)
#endif
#define QSR_TARGET_AVX2 QSR_TARGET(QSR_AVX2_FEATURES)
#define QSR_TARGET_AVX512 QSR_TARGET(QSR_AVX512_FEATURES)

namespace qsr {

enum class Isa : uint8_t { kPortable = 0, kAvx2 = 1, kAvx512 = 2 };

// Name as in QSR_ISA: portable, avx2, avx512.
const char* isa_name(Isa isa) noexcept;

// Whether this processor (and the system, which has to save the registers) runs it. kAvx512 means all of
// QSR_AVX512_FEATURES: VNNI, VBMI and VPOPCNTDQ came in one generation, and the kernels use all three.
bool isa_supported(Isa isa) noexcept;

// The best supported one.
Isa best_isa() noexcept;

}  // namespace qsr
