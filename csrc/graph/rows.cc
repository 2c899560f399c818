// Stages without weights, one row at a time.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "graph/task.h"

namespace qsr {

void Task::picture(const Stage& stage, int y) noexcept {
  const StageSpec& made = stage.spec;
  const int x = columns_.first, pixels = columns_.end - x;
  const size_t at = (static_cast<size_t>(y) * static_cast<size_t>(run_.schedule.width) + static_cast<size_t>(x)) * kPictureChannels;
  float* out = floats(made.out, y, x);
  if (run_.job.bytes_in) {
    picture_row(static_cast<const uint8_t*>(run_.job.picture) + at, pixels, stage.values, out);
  } else {
    picture_row(static_cast<const float*>(run_.job.picture) + at, pixels, made.scale.empty() ? nullptr : made.scale.data(),
                made.bias.empty() ? nullptr : made.bias.data(), out);
  }
}

// Rows first, then columns: a row of the small picture is blended once and enlarged once.
void Task::bilinear(const Stage& stage, int s, int y) noexcept {
  const StageSpec& made = stage.spec;
  const BilinearTap& line = run_.schedule.row_taps[static_cast<size_t>(s)][static_cast<size_t>(y)];
  const BilinearTap* taps = run_.schedule.column_taps[static_cast<size_t>(s)].data();
  const int count = columns_.end - columns_.first, low = taps[columns_.first].low, high = taps[columns_.end - 1].high;
  const int channels = spec(made.input).channels;
  const float* a = floats(made.input, line.low, low);
  const float* b = floats(made.input, line.high, low);
  float* row = reinterpret_cast<float*>(scratch_);  // absolute columns, as the taps have them
  float* blended = row + static_cast<size_t>(low) * static_cast<size_t>(channels);
  for (int i = 0; i < (high - low + 1) * channels; ++i) blended[i] = a[i] * line.low_weight + b[i] * line.high_weight;
  float* out = floats(made.out, y, columns_.first);
  if (channels == kPictureChannels) {
    // writes a number too many, which in a whole map is another task's
    float* enlarged = row + static_cast<size_t>(spec(made.input).factor * run_.schedule.width + 16) * static_cast<size_t>(channels);
    run_.ends.enlarge_row(row, taps + columns_.first, count, enlarged);
    std::memcpy(out, enlarged, sizeof(float) * static_cast<size_t>(count) * static_cast<size_t>(channels));
    return;
  }
  for (int x = 0; x < count; ++x) {
    const BilinearTap& tap = taps[columns_.first + x];
    for (int c = 0; c < channels; ++c) {
      out[x * channels + c] = row[tap.low * channels + c] * tap.low_weight + row[tap.high * channels + c] * tap.high_weight;
    }
  }
}

void Task::spatial(const Stage& stage, int y) noexcept {
  const StageSpec& made = stage.spec;
  const int height = stage.grid_factor * run_.schedule.height, width = stage.grid_factor * run_.schedule.width;
  const size_t channels = static_cast<size_t>(stage.channels);
  const float share = 1.0f / static_cast<float>(made.kh * made.kw);
  for (int x = columns_.first; x < columns_.end; ++x) {
    float sum = 0;
    for (int v = std::max(y - made.kh / 2, 0); v < std::min(y + made.kh / 2 + 1, height); ++v) {
      for (int u = std::max(x - made.kw / 2, 0); u < std::min(x + made.kw / 2 + 1, width); ++u) sum += *floats(made.second, v, u) * share;
    }
    const float* in = floats(made.input, y, x);
    float* out = floats(made.out, y, x);
    for (size_t c = 0; c < channels; ++c) out[c] = in[c] * sum;
  }
}

void Task::end(const Stage& stage, int y) noexcept {
  PictureEnd row;
  row.values = floats(stage.spec.input, y, columns_.first);
  row.stride = kPictureChannels;
  row.pixels = columns_.end - columns_.first;
  if (stage.spec.second >= 0) {
    row.low = row.high = floats(stage.spec.second, y, columns_.first);  // enlarged already
    row.low_weight = 1.0f;
    row.high_weight = 0.0f;
  }
  const size_t width = static_cast<size_t>(stage.grid_factor) * static_cast<size_t>(run_.schedule.width);
  const size_t at = (static_cast<size_t>(y) * width + static_cast<size_t>(columns_.first)) * kPictureChannels;
  if (run_.job.bytes_out) {
    run_.ends.end_bytes(row, static_cast<uint8_t*>(run_.job.out) + at);
  } else {
    run_.ends.end_floats(row, static_cast<float*>(run_.job.out) + at);
  }
}

void quantize_row(const Stage& stage, float factor, const float* in, int pixels, float* out) noexcept {
  const StageSpec& spec = stage.spec;
  const int channels = stage.channels;
  const bool shifted = !spec.shift.empty(), scaled = !spec.scale.empty();
  const float inverse = spec.step > 0 ? 1.0f / spec.step : 0.0f, lowest = static_cast<float>(spec.lowest), highest = static_cast<float>(spec.highest);
  for (int x = 0; x < pixels; ++x, in += channels, out += channels) {
    for (int c = 0; c < channels; ++c) {
      const float t = shifted ? in[c] + spec.shift[static_cast<size_t>(c)] : in[c];
      if (spec.step > 0) {
        out[c] = std::min(std::max(std::nearbyint(t * inverse), lowest), highest) * spec.step + spec.offset;
      } else {
        const float size = (scaled ? spec.scale[static_cast<size_t>(c)] : 1.0f) * factor;
        out[c] = t < 0 ? -size : size;
      }
    }
  }
}

void norm_row(const Stage& stage, const float* in, int pixels, float* out) noexcept {
  const StageSpec& spec = stage.spec;
  const int channels = stage.channels;
  const float share = 1.0f / static_cast<float>(channels);
  for (int x = 0; x < pixels; ++x, in += channels, out += channels) {
    float sums[16] = {}, mean = 0, squares = 0;  // 16 sums: the order of addition is the same on every machine
    for (int c = 0; c < channels; ++c) sums[c % 16] += in[c];
    for (float sum : sums) mean += sum;
    mean *= share;
    std::fill_n(sums, 16, 0.0f);
    for (int c = 0; c < channels; ++c) sums[c % 16] += (in[c] - mean) * (in[c] - mean);
    for (float sum : sums) squares += sum;
    const float by = 1.0f / std::sqrt(squares * share + spec.eps);
    for (int c = 0; c < channels; ++c) out[c] = (in[c] - mean) * by * spec.scale[static_cast<size_t>(c)] + spec.bias[static_cast<size_t>(c)];
  }
}

void repeat_row(const float* in, size_t channels, int times, int pixels, float* out) noexcept {
  for (int x = 0; x < pixels; ++x, in += channels) {
    for (int k = 0; k < times; ++k, out += channels) std::memcpy(out, in, sizeof(float) * channels);
  }
}

void average_row(const float* in, size_t channels, int parts, int pixels, float* out) noexcept {
  const float count = static_cast<float>(parts);
  for (int x = 0; x < pixels; ++x, out += channels) {
    std::memcpy(out, in, sizeof(float) * channels);
    in += channels;
    for (int k = 1; k < parts; ++k, in += channels) {
      for (size_t c = 0; c < channels; ++c) out[c] += in[c];
    }
    for (size_t c = 0; c < channels; ++c) out[c] /= count;
  }
}

void channel_mean_row(const float* in, int channels, int pixels, float* out) noexcept {
  for (int x = 0; x < pixels; ++x, in += channels) out[x] = static_cast<float>(absolute_sum(in, static_cast<size_t>(channels))) / static_cast<float>(channels);
}

double absolute_sum(const float* in, size_t count) noexcept {
  double sums[8] = {}, total = 0;
  for (size_t i = 0; i < count; ++i) sums[i % 8] += std::fabs(in[i]);
  for (double sum : sums) total += sum;
  return total;
}

}  // namespace qsr
