// The loop of epilogue.h, written once over a vocabulary `V` of 16 lanes that each instruction set supplies:
//   V::F, V::I                      16 floats, 16 int32 (one register, or a few)
//   V::load, V::set, V::load_int    of memory, of one number; V::to_float(I)
//   V::load_some, V::store_some     the first n floats only, nothing behind them is touched
//   V::fma(a, b, c), V::add, V::mul, V::prelu(t, slope)
//   V::negative(t), V::less(I, I)   16 bits
//   V::codes(v, lowest, highest, zero, target)   clip, rint, + zero, 16 bytes
// Included behind QSR_TARGET_*; everything here is local to the file that includes it, hence compiled for its set alone.
//
// Channels run outside, pixels inside, so that the vectors of a block of 16 channels stay in registers; what is asked for is
// decided outside the pixel loop (template), except for branches that always fall the same way.
#pragma once

#include <cstring>

#include "kernels/epilogue.h"

namespace qsr {
namespace {

constexpr int kLanes = 16;

enum class Sinks { kNone, kBytes, kBits, kTwo };

template <class V>
inline void write_codes(const CodeSink& sink, typename V::F t, typename V::F shift, bool shifted, uint32_t used, bool widen, uint8_t* target) noexcept {
  if (shifted) t = V::add(t, shift);
  if (sink.kind == Input::kBytes) {
    V::codes(V::mul(t, V::set(sink.inv_step)), static_cast<float>(sink.lowest), static_cast<float>(sink.highest), sink.zero, target);
    if (widen) std::memset(target + kLanes, 0, kLanes);
  } else {
    const uint32_t bits = V::negative(t) & used;
    std::memcpy(target, &bits, widen ? 4 : 2);  // little endian, as everything here
  }
}

// One block of 16 channels, those from `first` on, of all pixels.
template <class V, bool kFromFloat, bool kResidual, bool kOut, Sinks kSinks>
void run_block(const Epilogue& e, const EpilogueCall& call, size_t first) noexcept {
  using F = typename V::F;
  const size_t channels = static_cast<size_t>(e.channels), padded = round_up(channels, kLanes);
  const int live = channels - first < kLanes ? static_cast<int>(channels - first) : kLanes;
  const uint32_t used = (uint32_t{1} << live) - 1;
  const bool widen = first + kLanes == padded && padded % (2 * kLanes) != 0;  // codes rows end at a multiple of 32 channels

  const F zero = V::set(0.0f);
  const F bias = e.bias ? V::load(e.bias + first) : zero;
  const F scale = e.scale ? V::load(e.scale + first) : V::set(1.0f);
  const F slope = e.slope ? V::load(e.slope + first) : zero;
  const F after = e.after ? V::load(e.after + first) : zero;
  const bool has_slope = e.slope != nullptr, has_after = e.after != nullptr;
  constexpr int kSinkCount = kSinks == Sinks::kNone ? 0 : kSinks == Sinks::kTwo ? 2 : 1;
  CodeSink sinks[2] = {e.sink[0], e.sink[1]};
  if (kSinks == Sinks::kBytes) sinks[0].kind = Input::kBytes;  // known to the compiler inside the loop
  if (kSinks == Sinks::kBits) sinks[0].kind = Input::kBits;
  F shift[2] = {zero, zero};
  uint8_t* codes[2] = {nullptr, nullptr};
  for (int s = 0; s < kSinkCount; ++s) {
    if (sinks[s].shift) shift[s] = V::load(sinks[s].shift + first);
    codes[s] = call.codes[s] + (sinks[s].kind == Input::kBytes ? first : first / 8);
  }

  const size_t step = call.acc_stride;
  const auto source = [&](size_t at) noexcept -> F {
    if constexpr (kFromFloat) {
      return V::load(static_cast<const float*>(call.acc) + at);
    } else {
      return V::to_float(V::load_int(static_cast<const int32_t*>(call.acc) + at));
    }
  };
  for (size_t x = 0; x < static_cast<size_t>(call.pixels); ++x) {
    F t = V::fma(scale, source(x * step + first), bias);
    for (size_t p = 1; p < static_cast<size_t>(e.planes); ++p) {
      const F factor = e.scale ? V::load(e.scale + p * padded + first) : scale;
      t = V::fma(factor, source(p * call.plane_stride + x * step + first), t);
    }
    if (has_slope) t = V::prelu(t, slope);
    if (has_after) t = V::add(t, after);
    if constexpr (kResidual) {
      const float* residual = call.residual + x * call.residual_stride + first;
      t = V::add(t, live == kLanes ? V::load(residual) : V::load_some(residual, live));
    }
    if constexpr (kOut) {
      float* out = call.out + x * call.out_stride + first;
      if (live == kLanes) {
        V::store(out, t);
      } else {
        V::store_some(out, t, live);
      }
    }
    for (int s = 0; s < kSinkCount; ++s) {
      write_codes<V>(sinks[s], t, shift[s], sinks[s].shift != nullptr, used, widen, codes[s] + x * call.codes_stride[s]);
    }
  }
}

// kBlocks blocks of 16 channels by integer thresholds: compare, flip, store.
template <class V, int kBlocks>
void run_thresholds(const Epilogue& e, const EpilogueCall& call, size_t first) noexcept {
  const size_t padded = round_up(static_cast<size_t>(e.channels), kLanes);
  const bool widen = first + kBlocks * kLanes == padded && padded % (2 * kLanes) != 0;
  const size_t bytes = kBlocks * 2 + (widen ? 2 : 0);
  typename V::I threshold[kBlocks];
  uint64_t flip = 0;
  for (int b = 0; b < kBlocks; ++b) {
    const size_t o = first + static_cast<size_t>(b) * kLanes;
    threshold[b] = V::load_int(e.threshold + o);
    flip |= uint64_t{(e.flip[o / 32] >> (o % 32)) & 0xffff} << (16 * b);
  }
  const int32_t* acc = static_cast<const int32_t*>(call.acc) + first;
  uint8_t* codes = call.codes[0] + first / 8;
  for (int x = 0; x < call.pixels; ++x, acc += call.acc_stride, codes += call.codes_stride[0]) {
    uint64_t bits = flip;
    for (int b = 0; b < kBlocks; ++b) bits ^= uint64_t{V::less(V::load_int(acc + kLanes * b), threshold[b])} << (16 * b);
    if constexpr (kBlocks == 1) {
      std::memcpy(codes, &bits, bytes);
    } else {
      std::memcpy(codes, &bits, kBlocks * 2);
    }
  }
}

template <class V, bool kFromFloat, bool kResidual, bool kOut, Sinks kSinks>
void run_all(const Epilogue& e, const EpilogueCall& call) noexcept {
  for (size_t first = 0; first < static_cast<size_t>(e.channels); first += kLanes) {
    run_block<V, kFromFloat, kResidual, kOut, kSinks>(e, call, first);
  }
}

template <class V, bool kFromFloat, Sinks kSinks>
void run_flags(const Epilogue& e, const EpilogueCall& call) noexcept {
  if (call.residual) {
    call.out ? run_all<V, kFromFloat, true, true, kSinks>(e, call) : run_all<V, kFromFloat, true, false, kSinks>(e, call);
  } else {
    call.out ? run_all<V, kFromFloat, false, true, kSinks>(e, call) : run_all<V, kFromFloat, false, false, kSinks>(e, call);
  }
}

template <class V, bool kFromFloat>
void run_sinks(const Epilogue& e, const EpilogueCall& call) noexcept {
  if (e.sinks == 0) return run_flags<V, kFromFloat, Sinks::kNone>(e, call);
  if (e.sinks == 2) return run_flags<V, kFromFloat, Sinks::kTwo>(e, call);
  return e.sink[0].kind == Input::kBytes ? run_flags<V, kFromFloat, Sinks::kBytes>(e, call) : run_flags<V, kFromFloat, Sinks::kBits>(e, call);
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
  e.from_float ? run_sinks<V, true>(e, call) : run_sinks<V, false>(e, call);
}

}  // namespace
}  // namespace qsr
