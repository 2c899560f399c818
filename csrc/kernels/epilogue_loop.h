// The loop of epilogue.h, written once over a vocabulary `V` of 16 lanes that each instruction set supplies:
//   V::F, V::I                      16 floats, 16 int32 (one register, or a few)
//   V::kMost                        blocks of 16 channels that fit into the registers together with their vectors: 1, 2 or 4
//   V::load, V::set, V::load_int    of memory, of one number; V::to_float(I)
//   V::load_some, V::store_some     the first n floats only, nothing behind them is touched
//   V::fma(a, b, c), V::add, V::mul, V::prelu(t, slope)
//   V::negative(t), V::less(I, I)   16 bits
//   V::codes<n>(F[n], CodeSink, target)   clip(rint(v), lowest, highest) + zero, NaN as `lowest`: 16 n bytes
// Included behind QSR_TARGET_*; everything here is local to the file that includes it, hence compiled for its set alone.
//
// GCC contracts a product and its sum to a fused one, between intrinsics too. The only sums of products here are V::fma:
// what V::mul gives is selected (prelu) or converted (codes) before anything else happens to it.
//
// Channels run outside, pixels inside, so that the vectors of the channels stay in registers. What decides about the
// instructions is a template argument; what is left are branches that fall the same way for every pixel.
#pragma once

#include <cstring>

#include "kernels/epilogue.h"

namespace qsr {
namespace {

constexpr int kLanes = 16;

enum class Sinks { kNone, kBytes, kBits, kTwo };

// Codes of n blocks of one pixel. used: the bits of existing channels. widen: 16 bytes or bits of padding follow.
template <class V, int n>
inline void write_codes(const CodeSink& sink, const typename V::F* values, const typename V::F* shift, uint32_t used, bool widen,
                        uint8_t* target) noexcept {
  typename V::F t[n];
  for (int b = 0; b < n; ++b) t[b] = sink.shift ? V::add(values[b], shift[b]) : values[b];
  if (sink.kind == Input::kBytes) {
    const typename V::F inverse = V::set(sink.inv_step);
    for (int b = 0; b < n; ++b) t[b] = V::mul(t[b], inverse);
    V::template codes<n>(t, sink, target);
    if (n == 1 && widen) std::memset(target + kLanes, 0, kLanes);
  } else {
    uint64_t bits = 0;
    for (int b = 0; b < n; ++b) bits |= uint64_t{V::negative(t[b])} << (kLanes * b);
    if (n == 1) bits &= used;
    std::memcpy(target, &bits, 2 * n);  // little endian, as everything here
    if (n == 1 && widen) std::memset(target + 2, 0, 2);
  }
}

// n blocks of 16 channels, those from `first` on, of all pixels. n > 1: all of these channels exist.
template <class V, bool kFromFloat, Sinks kSinks, int n>
void run_blocks(const Epilogue& e, const EpilogueCall& call, size_t first) noexcept {
  using F = typename V::F;
  const size_t channels = static_cast<size_t>(e.channels), padded = round_up(channels, kLanes);
  const int live = n > 1 || channels - first >= kLanes ? kLanes : static_cast<int>(channels - first);
  const uint32_t used = (uint32_t{1} << live) - 1;
  const bool widen = first + kLanes == padded && padded % (2 * kLanes) != 0;  // codes rows end at a multiple of 32 channels
  constexpr int kSinkCount = kSinks == Sinks::kNone ? 0 : kSinks == Sinks::kTwo ? 2 : 1;

  F bias[n], scale[n], slope[n], after[n], shift[2][n];
  const auto fill = [first](F* vectors, const float* source, float otherwise) noexcept {
    for (int b = 0; b < n; ++b) vectors[b] = source ? V::load(source + first + static_cast<size_t>(b) * kLanes) : V::set(otherwise);
  };
  fill(bias, e.bias, 0.0f);
  fill(scale, e.scale, 1.0f);
  fill(slope, e.slope, 0.0f);
  fill(after, e.after, 0.0f);
  const bool has_slope = e.slope != nullptr, has_after = e.after != nullptr;
  CodeSink sinks[2] = {e.sink[0], e.sink[1]};
  if (kSinks == Sinks::kBytes) sinks[0].kind = Input::kBytes;  // so that the compiler knows inside the loop
  if (kSinks == Sinks::kBits) sinks[0].kind = Input::kBits;
  uint8_t* codes[2] = {nullptr, nullptr};
  for (int s = 0; s < kSinkCount; ++s) {
    fill(shift[s], sinks[s].shift, 0.0f);
    codes[s] = call.codes[s] + (sinks[s].kind == Input::kBytes ? first : first / 8);
  }

  const auto source = [&call](size_t at) noexcept -> F {
    if constexpr (kFromFloat) {
      return V::load(static_cast<const float*>(call.acc) + at);
    } else {
      return V::to_float(V::load_int(static_cast<const int32_t*>(call.acc) + at));
    }
  };
  for (size_t x = 0; x < static_cast<size_t>(call.pixels); ++x) {
    F t[n];
    const size_t at = x * call.acc_stride + first;
    for (size_t b = 0; b < n; ++b) t[b] = V::fma(scale[b], source(at + b * kLanes), bias[b]);
    for (size_t p = 1; p < static_cast<size_t>(e.planes); ++p) {
      for (size_t b = 0; b < n; ++b) {
        const F factor = e.scale ? V::load(e.scale + p * padded + first + b * kLanes) : scale[b];
        t[b] = V::fma(factor, source(p * call.plane_stride + at + b * kLanes), t[b]);
      }
    }
    if (has_slope) {
      for (int b = 0; b < n; ++b) t[b] = V::prelu(t[b], slope[b]);
    }
    if (has_after) {
      for (int b = 0; b < n; ++b) t[b] = V::add(t[b], after[b]);
    }
    if (call.residual) {
      const float* residual = call.residual + x * call.residual_stride + first;
      if (live < kLanes) {
        t[0] = V::add(t[0], V::load_some(residual, live));
      } else {
        for (int b = 0; b < n; ++b) t[b] = V::add(t[b], V::load(residual + b * kLanes));
      }
    }
    if (call.out) {
      float* out = call.out + x * call.out_stride + first;
      if (live < kLanes) {
        V::store_some(out, t[0], live);
      } else {
        for (int b = 0; b < n; ++b) V::store(out + b * kLanes, t[b]);
      }
    }
    for (int s = 0; s < kSinkCount; ++s) write_codes<V, n>(sinks[s], t, shift[s], used, widen, codes[s] + x * call.codes_stride[s]);
  }
}

// Up to three channels without gaps anywhere: the numbers of a row are one run, and the vectors of the channels repeat in it.
template <class V>
void run_gapless(const Epilogue& e, const EpilogueCall& call) noexcept {
  using F = typename V::F;
  constexpr size_t kPeriod = 3;  // vectors: as many numbers are a multiple of 1, 2 and 3
  const size_t channels = static_cast<size_t>(e.channels), count = static_cast<size_t>(call.pixels) * channels;
  F bias[kPeriod], scale[kPeriod], slope[kPeriod], after[kPeriod];
  const auto fill = [channels](F* vectors, const float* source, float otherwise) noexcept {
    float repeated[kPeriod * kLanes];
    for (size_t i = 0; i < kPeriod * kLanes; ++i) repeated[i] = source ? source[i % channels] : otherwise;
    for (size_t b = 0; b < kPeriod; ++b) vectors[b] = V::load(repeated + b * kLanes);
  };
  fill(bias, e.bias, 0.0f);
  fill(scale, e.scale, 1.0f);
  fill(slope, e.slope, 0.0f);
  fill(after, e.after, 0.0f);
  const float* acc = static_cast<const float*>(call.acc);
  for (size_t first = 0; first < count; first += kPeriod * kLanes) {
    for (size_t b = 0; b < kPeriod; ++b) {
      const size_t at = first + b * kLanes;
      if (at >= count) break;
      const size_t live = count - at;
      F t = V::fma(scale[b], live < kLanes ? V::load_some(acc + at, static_cast<int>(live)) : V::load(acc + at), bias[b]);
      if (e.slope) t = V::prelu(t, slope[b]);
      if (e.after) t = V::add(t, after[b]);
      if (live < kLanes) {
        if (call.residual) t = V::add(t, V::load_some(call.residual + at, static_cast<int>(live)));
        V::store_some(call.out + at, t, static_cast<int>(live));
      } else {
        if (call.residual) t = V::add(t, V::load(call.residual + at));
        V::store(call.out + at, t);
      }
    }
  }
}

// n blocks of 16 channels by integer thresholds: compare, flip, store.
template <class V, int n>
void run_thresholds(const Epilogue& e, const EpilogueCall& call, size_t first) noexcept {
  const size_t padded = round_up(static_cast<size_t>(e.channels), kLanes);
  const bool widen = first + n * kLanes == padded && padded % (2 * kLanes) != 0;
  typename V::I threshold[n];
  uint64_t flip = 0;
  for (int b = 0; b < n; ++b) {
    const size_t o = first + static_cast<size_t>(b) * kLanes;
    threshold[b] = V::load_int(e.threshold + o);
    flip |= uint64_t{(e.flip[o / 32] >> (o % 32)) & 0xffff} << (kLanes * b);
  }
  const int32_t* acc = static_cast<const int32_t*>(call.acc) + first;
  uint8_t* codes = call.codes[0] + first / 8;
  for (int x = 0; x < call.pixels; ++x, acc += call.acc_stride, codes += call.codes_stride[0]) {
    uint64_t bits = flip;
    for (int b = 0; b < n; ++b) bits ^= uint64_t{V::less(V::load_int(acc + kLanes * b), threshold[b])} << (kLanes * b);
    std::memcpy(codes, &bits, 2 * n);
    if (n == 1 && widen) std::memset(codes + 2, 0, 2);
  }
}

// All channels: as many blocks at a time as the registers hold and exist whole, then one by one.
template <class V, bool kFromFloat, Sinks kSinks>
void run_all(const Epilogue& e, const EpilogueCall& call) noexcept {
  const size_t channels = static_cast<size_t>(e.channels);
  size_t first = 0;
  if constexpr (V::kMost >= 4) {
    for (; first + 4 * kLanes <= channels; first += 4 * kLanes) run_blocks<V, kFromFloat, kSinks, 4>(e, call, first);
  }
  if constexpr (V::kMost >= 2) {
    for (; first + 2 * kLanes <= channels; first += 2 * kLanes) run_blocks<V, kFromFloat, kSinks, 2>(e, call, first);
  }
  for (; first < channels; first += kLanes) run_blocks<V, kFromFloat, kSinks, 1>(e, call, first);
}

template <class V, bool kFromFloat>
void run_sinks(const Epilogue& e, const EpilogueCall& call) noexcept {
  if (e.sinks == 0) return run_all<V, kFromFloat, Sinks::kNone>(e, call);
  if (e.sinks == 2) return run_all<V, kFromFloat, Sinks::kTwo>(e, call);
  return e.sink[0].kind == Input::kBytes ? run_all<V, kFromFloat, Sinks::kBytes>(e, call) : run_all<V, kFromFloat, Sinks::kBits>(e, call);
}

template <class V>
void run_epilogue(const Epilogue& e, const EpilogueCall& call) noexcept {
  if (e.threshold && !call.residual && !call.out) {
    const size_t padded = round_up(static_cast<size_t>(e.channels), kLanes);
    size_t first = 0;
    for (; first + 4 * kLanes <= padded; first += 4 * kLanes) run_thresholds<V, 4>(e, call, first);
    for (; first + 2 * kLanes <= padded; first += 2 * kLanes) run_thresholds<V, 2>(e, call, first);
    if (first < padded) run_thresholds<V, 1>(e, call, first);
    return;
  }
  const size_t channels = static_cast<size_t>(e.channels);
  if (channels <= 3 && e.from_float && e.planes == 1 && e.sinks == 0 && call.out && call.acc_stride == channels &&
      call.out_stride == channels && (!call.residual || call.residual_stride == channels)) {
    return run_gapless<V>(e, call);
  }
  e.from_float ? run_sinks<V, true>(e, call) : run_sinks<V, false>(e, call);
}

}  // namespace
}  // namespace qsr
