// One Swin transformer layer on a feature map, window by window: the interface of the fused kernels. What it computes is said
// by `Swin` in qsr/runtime/packed/ops.py.
//
// Everything between reading a window's tokens and writing them back happens in a scratch of some 150 KiB (60 channels,
// window 8) that stays in the L2 cache. The windows of one layer, rolled by its shift, hold disjoint tokens: a layer works in
// place, and any threads may share out its windows in any way; the bytes that come out are the same.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/isa.h"
#include "base/status.h"

namespace qsr {

constexpr int kMaxSwinWindow = 32;
constexpr int kMaxSwinChannels = 4096;  // of the map and of any layer: K * 255 * 128 < 2^31 by far
constexpr int kMaxSwinPlanes = 3;

// How a layer's input or an operand of attention is quantized; vectors have one number per channel.
struct ActSpec {
  enum class Kind : uint8_t {
    kNone,
    kUniform,  // q = clip(rint((x + shift) / step), lowest, highest), x_hat = q * step + offset
    kSign,     // x_hat = scale * sign(x + shift), sign(0) = +1
    kElastic,  // attention maps only: x_hat = step * 1[x >= step / 2]
  };
  enum class Scale : uint8_t {
    kNumber,    // scale
    kChannels,  // scales
    kMean,      // mean |x| over the channels of each token; of an operand over one window and head
  };
  Kind kind = Kind::kNone;
  int lowest = 0, highest = 0;     // kUniform: lowest <= highest, both in -128..255, highest - lowest <= 255
  float step = 1.0f;               // > 0
  float offset = 0.0f;             // kUniform
  const float* shift = nullptr;    // nullptr: 0
  Scale scaling = Scale::kNumber;  // kSign
  float scale = 1.0f;
  const float* scales = nullptr;   // kSign with kChannels; kElastic: one step per head
};

// bias + quantized(x) @ w_hat^T over the channels of each token; w_hat is (c_out, c_in) in C order.
struct LinearSpec {
  enum class Weight : uint8_t { kFloat, kUniform, kSign };
  int c_in = 0, c_out = 0;
  Weight weight = Weight::kFloat;
  const float* dense = nullptr;                                 // kFloat: w_hat
  const int16_t* codes = nullptr;                               // kUniform: -255..255 (odd numbers go as far)
  int planes = 1;                                               // kSign: 1..3, else 1
  const int8_t* signs[kMaxSwinPlanes] = {};                     // kSign: -1 or +1, one (c_out, c_in) per plane
  const float* scale[kMaxSwinPlanes] = {};                      // c_out numbers per plane; not for kFloat
  const float* bias = nullptr;                                  // c_out; nullptr: 0
  ActSpec act;
};

struct SwinOperands {
  ActSpec q, k, v;  // vectors have `channels` numbers, of all heads
  ActSpec map;      // kUniform without a vector, or kElastic
};

// Pointers are read by make() and not kept.
struct SwinSpec {
  int channels = 0, window = 0, shift = 0, heads = 0;  // 0 <= shift < window, channels a multiple of heads
  float eps = 1e-5f;
  const float* table = nullptr;                         // ((2 window - 1)^2, heads)
  const float *norm1_weight = nullptr, *norm1_bias = nullptr, *norm2_weight = nullptr, *norm2_bias = nullptr;
  LinearSpec qkv, proj, fc1, fc2;
  bool proj_skip = false;
  float gain1 = 1.0f, gain2 = 1.0f;
  const SwinOperands* operands = nullptr;               // nullptr: full precision
};

class SwinLayer {
 public:
  // kArgument: extents that do not fit together, limits, null vectors, codes out of range. kMemory: none.
  static Status make(const SwinSpec& spec, Isa limit, std::unique_ptr<SwinLayer>* out) noexcept;
  ~SwinLayer();
  SwinLayer(const SwinLayer&) = delete;
  SwinLayer& operator=(const SwinLayer&) = delete;

  // Of one call of run(), whatever the map's size.
  size_t scratch_bytes() const noexcept;

  // Of the map that it works on.
  int channels() const noexcept;
  int window() const noexcept;

  // Windows of a map; h, w multiples of the window.
  int windows(int h, int w) const noexcept;

  // Windows first..last - 1 (row-major over the rolled map), in place. map: (h, w, channels), h, w multiples of the window.
  // scratch: 64-byte aligned, arbitrary contents, one per thread.
  void run(float* map, int h, int w, int first, int last, void* scratch) const noexcept;

  // What runs, for people: swin_<how qkv is multiplied>_<isa>; f32, u8s8 (codes of any width), s16s16 (AVX2, wide codes), b1b1.
  const char* kernel() const noexcept;

  struct Parts;  // swin_parts.h

 private:
  explicit SwinLayer(std::unique_ptr<Parts> parts) noexcept;
  std::unique_ptr<Parts> parts_;
};

}  // namespace qsr
