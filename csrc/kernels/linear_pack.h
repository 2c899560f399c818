// A LinearSpec as the fused layer runs it: quantized input and weights, in blocks of outputs (linear.inc).
//
// Activations of a window are rows of tokens: one row per channel (kFloat), per 4 channels (kBytes, the code of channel 4 r + i
// in bits 8 i..8 i + 7), per 2 (kPairs, bits 16 i..16 i + 15) or per 32 (kBits, 1 where the sign is -1), always 4 bytes per
// token. Vectors then run over tokens, whatever the channels are, and a weight is a word of 4 bytes that is broadcast.
//
//   kFloat  out[o][t] = bias[o] + sum over r of w[o][r] * x[r][t]                    x is x_hat, w is w_hat
//   others  out[o][t] = bias[o] + mean[t] * sum over planes p of scale[p][o] * (start[p][o] + acc[p][o][t])
//     codes   acc = sum over c of w[p][o][c] * u[c][t], u = q + zero in 0..255;  start = -zero * sum over c of w[p][o][c]
//     bits    acc = -2 * popcount(w ^ u);  start = c_in
//   mean[t] is 1 unless the input is a sign with Scale::kMean.
// Exact: with at most kMaxSwinChannels terms |acc| and |start| stay below 4096 * 255 * 128 < 2^27.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <vector>

#include "base/isa.h"
#include "base/status.h"
#include "kernels/swin.h"

namespace qsr {

constexpr int kLinearBlock = 6;  // outputs at a time: 6 x 4 vectors of 16 tokens leave 8 of 32 registers

template <typename T>
struct Aligned {
  using value_type = T;
  Aligned() = default;
  template <typename U>
  Aligned(const Aligned<U>&) noexcept {}
  T* allocate(size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), std::align_val_t{64})); }
  void deallocate(T* p, size_t) noexcept { ::operator delete(p, std::align_val_t{64}); }
  bool operator==(const Aligned&) const noexcept { return true; }
  bool operator!=(const Aligned&) const noexcept { return false; }
};
template <typename T>
using Buffer = std::vector<T, Aligned<T>>;

// An ActSpec with vectors of its own.
struct Act {
  ActSpec::Kind kind = ActSpec::Kind::kNone;
  ActSpec::Scale scaling = ActSpec::Scale::kNumber;
  float lowest = 0, highest = 0, step = 1, inv_step = 1, offset = 0, scale = 1;
  int zero = 0;                // max(0, -lowest); 1 of signs
  std::vector<float> shift;    // one per channel
  std::vector<float> scales;   // as in ActSpec

  bool mean() const noexcept { return kind == ActSpec::Kind::kSign && scaling == ActSpec::Scale::kMean; }
};

enum class Way : uint8_t {
  kFloat,
  kBytes,  // four products at once: vpdpbusd, or on AVX2 vpmaddubsw where all sums fit int16
  kPairs,  // two products of int16 at once: vpmaddwd, AVX2 only
  kBits,
};

struct PackedLinear {
  Way way = Way::kFloat;
  int c_in = 0, c_out = 0, planes = 1;
  int rows = 0;            // of the input
  Act act;
  Buffer<uint32_t> weights;  // [plane][block][row][kLinearBlock]
  std::vector<int32_t> start;  // [plane][c_out_padded]
  std::vector<float> scale;    // [plane][c_out_padded]
  std::vector<float> bias;     // [c_out_padded]

  size_t blocks() const noexcept { return (static_cast<size_t>(c_out) + kLinearBlock - 1) / kLinearBlock; }
  size_t c_out_padded() const noexcept { return blocks() * kLinearBlock; }
  size_t block_words() const noexcept { return static_cast<size_t>(rows) * kLinearBlock; }
};

// channels: of the vectors. name: of the layer or operand, for the message.
Status copy_act(const ActSpec& spec, int channels, const char* name, Act* out);

// The first `factored` outputs are multiplied by `factor`. Throws std::bad_alloc only.
Status pack_linear(const LinearSpec& spec, Isa isa, const char* name, int factored, float factor, PackedLinear* out);

}  // namespace qsr
