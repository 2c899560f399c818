// Epilogue for any machine, thresholds, and the choice between instruction sets.
#include "kernels/epilogue.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "kernels/epilogue_loop.h"

namespace qsr {
namespace {

// a * b + c with one rounding, on processors without such an instruction too. The product is exact in double (24 + 24 bits);
// the sum is rounded to odd (Boldo and Melquiond): what got lost shows in the last of 53 bits, and since 53 >= 24 + 2, the
// final rounding to float is that of the exact value, also where floats are subnormal. libm's fmaf does the same, slower.
float fused(float a, float b, float c) noexcept {
#if defined(__FP_FAST_FMAF)
  return __builtin_fmaf(a, b, c);
#else
  const double product = static_cast<double>(a) * static_cast<double>(b), addend = static_cast<double>(c);
  double sum = product + addend;
  const double part = sum - product, lost = (product - (sum - part)) + (addend - part);  // exact: TwoSum
  if (lost != 0 && std::isfinite(sum)) {
    int64_t bits;
    std::memcpy(&bits, &sum, sizeof bits);
    if (bits % 2 == 0) bits += (lost > 0) == (sum > 0) ? 1 : -1;
    std::memcpy(&sum, &bits, sizeof bits);
  }
  return static_cast<float>(sum);
#endif
}

// rint of |v| < 2^22 (halves to even) by the rounding of the addition itself
int32_t nearest(float v) noexcept {
  const float moved = v + 12582912.0f;  // 1.5 * 2^23: the units are the last bit
  int32_t bits;
  std::memcpy(&bits, &moved, sizeof bits);
  return bits - 0x4b400000;
}

struct Portable {
  struct F {
    float v[kLanes];
  };
  struct I {
    int32_t v[kLanes];
  };
  static constexpr int kMost = 1;
  template <typename Function>
  static F each(Function function) noexcept {
    F out;
    for (int i = 0; i < kLanes; ++i) out.v[i] = function(i);
    return out;
  }
  static F load(const float* p) noexcept { return load_some(p, kLanes); }
  static F set(float value) noexcept {
    return each([&](int) { return value; });
  }
  static I load_int(const int32_t* p) noexcept {
    I out;
    std::memcpy(out.v, p, sizeof out.v);
    return out;
  }
  static F to_float(const I& a) noexcept {
    return each([&](int i) { return static_cast<float>(a.v[i]); });
  }
  static F load_some(const float* p, int n) noexcept {
    F out = {};
    std::memcpy(out.v, p, sizeof(float) * static_cast<size_t>(n));
    return out;
  }
  static void store(float* p, const F& a) noexcept { store_some(p, a, kLanes); }
  static void store_some(float* p, const F& a, int n) noexcept { std::memcpy(p, a.v, sizeof(float) * static_cast<size_t>(n)); }
  static F fma(const F& a, const F& b, const F& c) noexcept {
    return each([&](int i) { return fused(a.v[i], b.v[i], c.v[i]); });
  }
  static F add(const F& a, const F& b) noexcept {
    return each([&](int i) { return a.v[i] + b.v[i]; });
  }
  static F mul(const F& a, const F& b) noexcept {
    return each([&](int i) { return a.v[i] * b.v[i]; });
  }
  static F prelu(const F& t, const F& slope) noexcept {
    return each([&](int i) { return t.v[i] < 0 ? t.v[i] * slope.v[i] : t.v[i]; });
  }
  static uint32_t negative(const F& t) noexcept {
    uint32_t bits = 0;
    for (int i = 0; i < kLanes; ++i) bits |= static_cast<uint32_t>(t.v[i] < 0) << i;
    return bits;
  }
  static uint32_t less(const I& a, const I& b) noexcept {
    uint32_t bits = 0;
    for (int i = 0; i < kLanes; ++i) bits |= static_cast<uint32_t>(a.v[i] < b.v[i]) << i;
    return bits;
  }
  template <int n>
  static void codes(const F* v, const CodeSink& sink, uint8_t* target) noexcept {
    static_assert(n == 1, "kMost");
    const float lowest = static_cast<float>(sink.lowest), highest = static_cast<float>(sink.highest);
    for (int i = 0; i < kLanes; ++i) {
      const float above = v[0].v[i] > lowest ? v[0].v[i] : lowest;  // NaN becomes `lowest`
      target[i] = static_cast<uint8_t>(nearest(above < highest ? above : highest) + sink.zero);
    }
  }
};

void epilogue_portable(const Epilogue& e, const EpilogueCall& call) noexcept { run_epilogue<Portable>(e, call); }

// The bit that the floats of channel `o` give for one sum.
bool bit_of(const Epilogue& e, size_t o, int32_t acc) noexcept {
  float t = fused(e.scale[o], static_cast<float>(acc), e.bias ? e.bias[o] : 0.0f);
  if (e.slope && t < 0) t *= e.slope[o];
  if (e.after) t += e.after[o];
  if (e.sink[0].shift) t += e.sink[0].shift[o];
  return t < 0;
}

}  // namespace

#if QSR_X86
void epilogue_avx512(const Epilogue&, const EpilogueCall&) noexcept;
void epilogue_avx2(const Epilogue&, const EpilogueCall&) noexcept;
#endif

EpilogueFunction epilogue_for(Isa limit) noexcept {
#if QSR_X86
  if (limit >= Isa::kAvx512 && isa_supported(Isa::kAvx512)) return epilogue_avx512;
  if (limit >= Isa::kAvx2 && isa_supported(Isa::kAvx2)) return epilogue_avx2;
#endif
  (void)limit;
  return epilogue_portable;
}

bool make_thresholds(const Epilogue& e, int32_t* threshold, uint32_t* flip) noexcept {
  const size_t channels = static_cast<size_t>(e.channels), padded = round_up(channels, kLanes);
  if (e.from_float || e.planes != 1 || !e.scale || e.sinks != 1 || e.sink[0].kind != Input::kBits) return false;
  for (size_t o = 0; e.slope && o < channels; ++o) {
    if (!(e.slope[o] >= 0)) return false;  // falls below 0: no longer monotone
  }
  std::memset(flip, 0, sizeof(uint32_t) * round_up(channels, 32) / 32);
  for (size_t o = 0; o < padded; ++o) {
    constexpr int64_t kMost = std::numeric_limits<int32_t>::max(), kLeast = std::numeric_limits<int32_t>::min();
    threshold[o] = static_cast<int32_t>(kLeast);  // bit 0 for every sum, and behind the channels
    if (o >= channels) continue;
    // Every step of bit_of keeps order or (scale < 0) reverses it, rounding included: along the sums, the bit changes once
    // at most. first: its value for the least sum; found: the least sum where it is another one.
    const bool first = bit_of(e, o, static_cast<int32_t>(kLeast));
    int64_t low = kLeast, high = kMost + 1;  // bit(low) == first; high: another value, or behind all sums
    while (high - low > 1) {
      const int64_t middle = low + (high - low) / 2;
      (bit_of(e, o, static_cast<int32_t>(middle)) == first ? low : high) = middle;
    }
    bool flipped = !first;  // bit = first ? acc < high : !(acc < high)
    if (high > kMost) {     // never changes: acc < kLeast is never true
      high = kLeast;
      flipped = first;
    }
    threshold[o] = static_cast<int32_t>(high);
    if (flipped) flip[o / 32] |= uint32_t{1} << (o % 32);
  }
  return true;
}

}  // namespace qsr
