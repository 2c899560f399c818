// From sums to values: what happens to the output of a convolution while it is still in the cache.
//
//   t = bias[o] + sum over planes p of scale[p][o] * acc[p][o]      (one fused multiply-add per plane, p ascending)
//   t = t >= 0 ? t : slope[o] * t                                   if `slope`
//   t = t + after[o]                                                if `after`
//   t = t + residual[o]                                             if the call has a residual
//   out[o] = t                                                      if the call has `out`
//   codes of each sink:  kBytes  clip(rint((t + shift[o]) * inv_step), lowest, highest) + zero, one byte per channel
//                        kBits   bit o is 1 where t + shift[o] < 0; words of 32 channels, unused bits 0
// rint rounds halves to even. Every instruction set computes the same floats (the operations are the same, in this order),
// hence the same codes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/isa.h"
#include "kernels/conv_rows.h"

namespace qsr {

struct CodeSink {
  Input kind = Input::kBytes;     // kBits or kBytes
  const float* shift = nullptr;   // c_padded, or nullptr: 0
  float inv_step = 1.0f;
  int lowest = 0, highest = 0, zero = 0;
};

// Vectors have c_padded = round_up(channels, 16) entries, 0 behind `channels`, 64-byte aligned.
struct Epilogue {
  int channels = 0;
  int planes = 1;                  // accumulators per channel, 1..3
  bool from_float = false;         // acc is float, else int32
  const float* scale = nullptr;    // [planes][c_padded]; nullptr: 1 (floats only)
  const float* bias = nullptr;     // nullptr: 0
  const float* slope = nullptr;
  const float* after = nullptr;
  int sinks = 0;                   // 0..2
  CodeSink sink[2];
  // Short cut for a call without residual and out (elsewhere they are not looked at): the only sink's bit o is
  // (acc[o] < threshold[o]) ^ bit o of flip. make_thresholds fills them so that the bits are those of the floats above.
  const int32_t* threshold = nullptr;  // c_padded
  const uint32_t* flip = nullptr;      // round_up(channels, 32) / 32 words
};

// Strides: acc and plane in elements, residual and out in floats, codes in bytes; per pixel.
// codes rows: kBytes writes round_up(channels, 32) bytes per pixel, kBits round_up(channels, 32) / 8.
// acc may be read up to c_padded of each pixel. residual and out are read and written for `channels` floats exactly.
struct EpilogueCall {
  const void* acc = nullptr;
  size_t acc_stride = 0, plane_stride = 0;
  int pixels = 0;
  const float* residual = nullptr;
  size_t residual_stride = 0;
  float* out = nullptr;
  size_t out_stride = 0;
  uint8_t* codes[2] = {nullptr, nullptr};
  size_t codes_stride[2] = {0, 0};
};

using EpilogueFunction = void (*)(const Epilogue&, const EpilogueCall&) noexcept;

// Integer thresholds that give the very bits of the float path, for every int32 sum: found by bisection over that path, at
// load. false, and nothing is to be used, where there are none: several planes, float sums, another sink than one of kBits,
// or a slope below 0 (not monotone). threshold: c_padded, flip: round_up(channels, 32) / 32 words, both 64-byte aligned.
bool make_thresholds(const Epilogue& e, int32_t* threshold, uint32_t* flip) noexcept;

// The implementation for an instruction set (or the best below it).
EpilogueFunction epilogue_for(Isa limit) noexcept;

}  // namespace qsr
