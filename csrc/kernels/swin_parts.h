// What a SwinLayer holds, and the code that runs it.
#pragma once

#include "kernels/linear_pack.h"
#include "kernels/swin.h"

namespace qsr {

// One instruction set's code.
struct SwinCode {
  void (*run)(const SwinLayer::Parts&, float* map, int h, int w, int first, int last, void* scratch) noexcept;
  // In place, for tests; count a multiple of 16.
  void (*exp2)(float* x, size_t count) noexcept;
  void (*gelu)(float* x, size_t count) noexcept;
};
extern const SwinCode swin_portable, swin_avx2, swin_avx512;

// The code for `limit` or the best below it that this processor runs; *isa: whose it is.
const SwinCode& swin_code(Isa limit, Isa* isa) noexcept;

constexpr int kTokenPad = 16;   // tokens of a window are rounded up to this
constexpr int kKeyBlock = 4;    // keys at a time in attention
constexpr int kQueryTile = 64;  // at most so many queries at a time

struct SwinLayer::Parts {
  int channels = 0, window = 0, shift = 0, heads = 0, hidden = 0;
  float eps = 0, gain1 = 1, gain2 = 1;
  bool proj_skip = false;
  PackedLinear qkv, proj, fc1, fc2;          // qkv makes q * d^-1/2, and * log2 e without operands
  std::vector<float> norm1_weight, norm1_bias, norm2_weight, norm2_bias;
  Buffer<float> bias;                        // [head][key, round_up(n, kKeyBlock)][query, padded()] * log2 e
  bool has_operands = false;
  Act q, k, v, map;
  const SwinCode* code = nullptr;
  char name[48] = {0};

  int tokens() const noexcept { return window * window; }
  size_t padded() const noexcept { return round(static_cast<size_t>(tokens()), kTokenPad); }
  size_t keys() const noexcept { return round(static_cast<size_t>(tokens()), kKeyBlock); }
  static size_t round(size_t n, size_t multiple) noexcept { return (n + multiple - 1) / multiple * multiple; }
};

// Scratch of one window, carved from the caller's; rows are of padded() numbers.
struct SwinWork {
  float* x = nullptr;        // channels rows: the residual stream
  float* t = nullptr;        // max(channels, hidden) rows: norms, attention's result
  float* wide = nullptr;     // max(3 channels, hidden) rows, in blocks of 6
  float* coded = nullptr;    // max(channels, hidden) rows: a quantized input
  float* tile = nullptr;     // 6 rows
  float* mean = nullptr;     // 1 row
  float* region = nullptr;   // 1 row
  float* logits = nullptr;   // [key][kQueryTile]
  float** token = nullptr;   // 1 row: where each token lies in the map

  // base nullptr: only measures. Returns the bytes that it takes.
  size_t carve(const SwinLayer::Parts& parts, uint8_t* base) noexcept;
};

}  // namespace qsr
