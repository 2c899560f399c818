// Row kernels that any machine runs, for every convolution that check_row_conv lets through. Plain loops that a compiler
// vectorises over the outputs; weights are kept as [tap][channel or word][c_out_padded].
#include <cstring>

#include "kernels/conv_rows.h"

namespace qsr {
namespace {

bool accept(const RowConv&) noexcept { return true; }

// [tap][c][c_out_padded] of T, then (kBytes) c_out_padded int32 corrections
template <typename T>
size_t dense_bytes(const RowConv& conv) noexcept {
  const size_t weights = sizeof(T) * static_cast<size_t>(conv.kh * conv.kw) * static_cast<size_t>(conv.c_in) * conv.c_out_padded();
  return round_up(weights, 64) + sizeof(int32_t) * conv.c_out_padded();
}

template <typename T>
int32_t* corrections(const RowConv& conv, void* packed) noexcept {
  return reinterpret_cast<int32_t*>(static_cast<uint8_t*>(packed) + dense_bytes<T>(conv) - sizeof(int32_t) * conv.c_out_padded());
}

template <typename T>
void pack_dense(const RowConv& conv, const void* weights, void* packed) noexcept {
  std::memset(packed, 0, dense_bytes<T>(conv));
  const T* source = static_cast<const T*>(weights);
  T* target = static_cast<T*>(packed);
  int32_t* correction = corrections<T>(conv, packed);
  const size_t padded = conv.c_out_padded(), taps = static_cast<size_t>(conv.kh * conv.kw), c_in = static_cast<size_t>(conv.c_in);
  for (size_t o = 0; o < static_cast<size_t>(conv.c_out); ++o) {
    for (size_t c = 0; c < c_in; ++c) {
      for (size_t tap = 0; tap < taps; ++tap) {
        const T w = *source++;
        target[(tap * c_in + c) * padded + o] = w;
        if constexpr (sizeof(T) == 2) correction[o] -= conv.zero() * w;
      }
    }
  }
}

template <typename A, typename W, typename Sum>
void run_dense(const RowConv& conv, const void* packed, const uint8_t* const* rows, int pixels, void* acc, void*) noexcept {
  const size_t padded = conv.c_out_padded(), stride = conv.pixel_bytes();
  for (int x = 0; x < pixels; ++x) {
    Sum* sum = static_cast<Sum*>(acc) + static_cast<size_t>(x) * padded;
    if constexpr (sizeof(A) == 1) {
      std::memcpy(sum, corrections<W>(conv, const_cast<void*>(packed)), padded * sizeof(Sum));
    } else {
      std::memset(sum, 0, padded * sizeof(Sum));
    }
    const W* w = static_cast<const W*>(packed);
    for (int u = 0; u < conv.kh; ++u) {
      for (int v = 0; v < conv.kw; ++v) {
        const uint8_t* pixel = rows[u] + static_cast<size_t>(x + v) * stride;
        for (int c = 0; c < conv.c_in; ++c, w += padded) {
          A a;
          std::memcpy(&a, pixel + static_cast<size_t>(c) * sizeof(A), sizeof(A));
          for (size_t o = 0; o < padded; ++o) sum[o] += static_cast<Sum>(a) * static_cast<Sum>(w[o]);
        }
      }
    }
  }
}

// --- bits: words of 32 channels; [tap][word][c_out_padded]; sum = terms - 2 popcount(a ^ w)
size_t bits_bytes(const RowConv& conv) noexcept {
  return sizeof(uint32_t) * static_cast<size_t>(conv.kh * conv.kw) * (conv.pixel_bytes() / 4) * conv.c_out_padded();
}

void pack_bits(const RowConv& conv, const void* weights, void* packed) noexcept {
  std::memset(packed, 0, bits_bytes(conv));
  const int16_t* source = static_cast<const int16_t*>(weights);
  uint32_t* target = static_cast<uint32_t*>(packed);
  const size_t padded = conv.c_out_padded(), words = conv.pixel_bytes() / 4, taps = static_cast<size_t>(conv.kh * conv.kw);
  for (size_t o = 0; o < static_cast<size_t>(conv.c_out); ++o) {
    for (size_t c = 0; c < static_cast<size_t>(conv.c_in); ++c) {
      for (size_t tap = 0; tap < taps; ++tap) {
        if (*source++ < 0) target[(tap * words + c / 32) * padded + o] |= uint32_t{1} << (c % 32);
      }
    }
  }
}

void run_bits(const RowConv& conv, const void* packed, const uint8_t* const* rows, int pixels, void* acc, void*) noexcept {
  const size_t padded = conv.c_out_padded(), stride = conv.pixel_bytes();
  const int32_t terms = conv.c_in * conv.kh * conv.kw;
  for (int x = 0; x < pixels; ++x) {
    int32_t* sum = static_cast<int32_t*>(acc) + static_cast<size_t>(x) * padded;
    for (size_t o = 0; o < padded; ++o) sum[o] = terms;
    const uint32_t* w = static_cast<const uint32_t*>(packed);
    for (int u = 0; u < conv.kh; ++u) {
      for (int v = 0; v < conv.kw; ++v) {
        const uint8_t* pixel = rows[u] + static_cast<size_t>(x + v) * stride;
        for (size_t word = 0; word < stride / 4; ++word, w += padded) {
          uint32_t a;
          std::memcpy(&a, pixel + 4 * word, 4);
          for (size_t o = 0; o < padded; ++o) sum[o] -= 2 * __builtin_popcount(a ^ w[o]);
        }
      }
    }
  }
}

// --- depthwise: [tap][c_out_padded]
size_t depthwise_bytes(const RowConv& conv) noexcept {
  return sizeof(float) * static_cast<size_t>(conv.kh * conv.kw) * conv.c_out_padded();
}

void pack_depthwise(const RowConv& conv, const void* weights, void* packed) noexcept {
  std::memset(packed, 0, depthwise_bytes(conv));
  const float* source = static_cast<const float*>(weights);
  float* target = static_cast<float*>(packed);
  const size_t padded = conv.c_out_padded(), taps = static_cast<size_t>(conv.kh * conv.kw);
  for (size_t c = 0; c < static_cast<size_t>(conv.c_out); ++c) {
    for (size_t tap = 0; tap < taps; ++tap) target[tap * padded + c] = *source++;
  }
}

void run_depthwise(const RowConv& conv, const void* packed, const uint8_t* const* rows, int pixels, void* acc, void*) noexcept {
  const size_t padded = conv.c_out_padded(), stride = conv.pixel_bytes(), channels = static_cast<size_t>(conv.c_out);
  for (int x = 0; x < pixels; ++x) {
    float* sum = static_cast<float*>(acc) + static_cast<size_t>(x) * padded;
    std::memset(sum, 0, padded * sizeof(float));
    const float* w = static_cast<const float*>(packed);
    for (int u = 0; u < conv.kh; ++u) {
      for (int v = 0; v < conv.kw; ++v, w += padded) {
        const float* a = reinterpret_cast<const float*>(rows[u] + static_cast<size_t>(x + v) * stride);
        for (size_t c = 0; c < channels; ++c) sum[c] += a[c] * w[c];
      }
    }
  }
}

}  // namespace

extern const RowKernel conv_bits_portable = {
    "conv_b1b1_portable", Isa::kPortable, Input::kBits, 1, accept, bits_bytes, pack_bits, no_scratch, run_bits};
extern const RowKernel conv_bytes_portable = {
    "conv_u8s16_portable", Isa::kPortable,       Input::kBytes, 1, accept, dense_bytes<int16_t>, pack_dense<int16_t>,
    no_scratch,            run_dense<uint8_t, int16_t, int32_t>};
extern const RowKernel conv_float_portable = {
    "conv_f32_portable", Isa::kPortable, Input::kFloat, 1, accept, dense_bytes<float>, pack_dense<float>,
    no_scratch,          run_dense<float, float, float>};
extern const RowKernel conv_depthwise_portable = {"conv_f32_depthwise_portable", Isa::kPortable, Input::kFloat, 1, accept, depthwise_bytes,
                                                  pack_depthwise, no_scratch, run_depthwise, false, true};

}  // namespace qsr
