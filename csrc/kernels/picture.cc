#include "kernels/picture.h"

#include <cmath>
#include <cstring>

namespace qsr {

#if QSR_X86
extern const PictureKernels picture_avx512;
extern const PictureKernels picture_avx2;
#endif

void byte_values(const float* scale, const float* offset, ByteValues* values) noexcept {
  for (int c = 0; c < kPictureChannels; ++c) {
    for (int byte = 0; byte < 256; ++byte) {
      const float product = static_cast<float>(byte) / 255.0f * (scale ? scale[c] : 1.0f);
      values->value[c][byte] = offset ? product + offset[c] : product;
    }
  }
}

void picture_row(const uint8_t* row, int pixels, const ByteValues& values, float* out) noexcept {
  for (int x = 0; x < pixels; ++x, row += kPictureChannels, out += kPictureChannels) {
    for (int c = 0; c < kPictureChannels; ++c) out[c] = values.value[c][row[c]];
  }
}

void picture_row(const float* row, int pixels, const float* scale, const float* offset, float* out) noexcept {
  for (int x = 0; x < pixels; ++x, row += kPictureChannels, out += kPictureChannels) {
    for (int c = 0; c < kPictureChannels; ++c) {
      const float product = scale ? row[c] * scale[c] : row[c];
      out[c] = offset ? product + offset[c] : product;
    }
  }
}

void bilinear_taps(int size, int factor, BilinearTap* taps) noexcept {
  for (int i = 0; i < size; ++i) {
    for (int phase = 0; phase < factor; ++phase, ++taps) {
      const double place = (phase + 0.5) / factor - 0.5;  // relative to pixel i
      const int first = place < 0 ? i - 1 : i;
      const float weight = static_cast<float>(place < 0 ? place + 1 : place);
      taps->low = first < 0 ? 0 : first;
      taps->high = first + 1 < size ? first + 1 : size - 1;
      taps->low_weight = 1.0f - weight;
      taps->high_weight = weight;
    }
  }
}

namespace {

constexpr size_t kChunkSlack = 4;

struct Pixel {
  float value[kPictureChannels];

  static Pixel load(const float* from) noexcept { return {{from[0], from[1], from[2]}}; }
  void store(float* to) const noexcept { std::memcpy(to, value, sizeof(value)); }
};

Pixel add(const Pixel& a, const Pixel& b) noexcept {
  return {{a.value[0] + b.value[0], a.value[1] + b.value[1], a.value[2] + b.value[2]}};
}

Pixel lerp(const Pixel& low, float low_weight, const Pixel& high, float high_weight) noexcept {
  Pixel out;
  for (int c = 0; c < kPictureChannels; ++c) out.value[c] = std::fma(high.value[c], high_weight, low.value[c] * low_weight);
  return out;
}

float clipped(float t) noexcept { return t > 0.0f ? (t < 1.0f ? t : 1.0f) : 0.0f; }

void convert(const float* t, size_t count, uint8_t* out) noexcept {
  for (size_t i = 0; i < count; ++i) out[i] = static_cast<uint8_t>(std::nearbyint(clipped(t[i]) * 255.0f));
}

void clip(const float* t, size_t count, float* out) noexcept {
  for (size_t i = 0; i < count; ++i) out[i] = clipped(t[i]);
}

void add_base(float* t, const float* low, float low_weight, const float* high, float high_weight, size_t count) noexcept {
  for (size_t i = 0; i < count; ++i) t[i] += std::fma(high[i], high_weight, low[i] * low_weight);
}

#include "kernels/picture_rows.inc"

const PictureKernels kPortable = {Isa::kPortable, enlarge_row, end_bytes, end_floats};

}  // namespace

const PictureKernels& picture_kernels(Isa limit) noexcept {
#if QSR_X86
  if (limit >= Isa::kAvx512 && isa_supported(Isa::kAvx512)) return picture_avx512;
  if (limit >= Isa::kAvx2 && isa_supported(Isa::kAvx2)) return picture_avx2;
#endif
  (void)limit;
  return kPortable;
}

}  // namespace qsr
