// Networks that fit together, grown from bytes; for engine_target.cc.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <memory>
#include <vector>

#include "graph/spec.h"

namespace qsr::fuzz {

// The input, one byte after the other; behind its end a sequence that follows from its first bytes.
class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : data_(data), size_(size) {
    for (size_t i = 0; i < std::min<size_t>(size, 8); ++i) state_ = state_ * 131 + data[i];
  }

  uint8_t byte() {
    if (at_ < size_) return data_[at_++];
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<uint8_t>(state_ >> 56);
  }
  // 0..n - 1
  int below(int n) { return n <= 1 ? 0 : static_cast<int>(byte()) % n; }
  template <typename T, size_t n>
  T one_of(const T (&values)[n]) {
    return values[below(static_cast<int>(n))];
  }
  int number() {
    static const int values[] = {0, 1, -1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 127, 128, 255, 256, 4096, 65535, 65536, 65537, 1 << 24,
                                 std::numeric_limits<int>::max(), std::numeric_limits<int>::max() - 1, std::numeric_limits<int>::min()};
    return one_of(values);
  }
  float real() {
    static const float values[] = {0.0f, -0.0f, 1.0f, -1.0f, 0.5f, 1e-45f, 1e-38f, 1e38f, -1e38f, 3.4e38f, 255.0f, -128.0f, 1e9f, 0.1f, -0.3f, 7.0f};
    return below(8) == 0 ? one_of(values) : (static_cast<float>(byte()) - 128.0f) / 64.0f;
  }
  // `count` numbers, or none; few different ones
  std::vector<float> reals(int count) {
    std::vector<float> made(static_cast<size_t>(std::max(count, 0)));
    const float some[4] = {real(), real(), real(), real()};
    for (size_t i = 0; i < made.size(); ++i) made[i] = some[i % 4];
    return made;
  }
  std::vector<float> maybe(int count) { return below(2) ? reals(count) : std::vector<float>(); }

 private:
  const uint8_t* data_;
  size_t size_, at_ = 0;
  uint64_t state_ = 1;
};

// Arrays that a SwinSpec points into, for as long as the layer is made.
struct SwinArrays {
  std::vector<std::vector<float>> floats;
  std::vector<std::vector<int16_t>> codes;
  std::vector<std::vector<int8_t>> signs;

  const float* keep(std::vector<float> values) {
    floats.push_back(std::move(values));
    return floats.back().empty() ? nullptr : floats.back().data();
  }
};

inline ActSpec act(Bytes& in, int channels, SwinArrays* arrays) {
  ActSpec made;
  made.kind = static_cast<ActSpec::Kind>(in.below(4));
  made.lowest = in.below(2) ? -(1 << in.below(8)) : 0;
  made.highest = in.below(8) == 0 ? in.number() : (1 << in.below(8)) - 1;
  made.step = in.below(8) == 0 ? in.real() : 0.1f;
  made.offset = in.below(4) == 0 ? in.real() : 0.0f;
  made.shift = arrays->keep(in.maybe(channels));
  made.scaling = static_cast<ActSpec::Scale>(in.below(3));
  made.scale = in.real();
  made.scales = arrays->keep(in.maybe(channels));
  return made;
}

inline LinearSpec linear(Bytes& in, int c_in, int c_out, SwinArrays* arrays) {
  LinearSpec made;
  made.c_in = c_in;
  made.c_out = c_out;
  made.weight = static_cast<LinearSpec::Weight>(in.below(3));
  const size_t count = static_cast<size_t>(c_in) * static_cast<size_t>(c_out);
  made.planes = made.weight == LinearSpec::Weight::kSign ? 1 + in.below(kMaxSwinPlanes) : 1;
  if (made.weight == LinearSpec::Weight::kFloat) made.dense = arrays->keep(in.reals(c_in * c_out));
  if (made.weight == LinearSpec::Weight::kUniform) {
    arrays->codes.emplace_back(count);
    const int top = 1 << in.below(9);
    for (int16_t& code : arrays->codes.back()) code = static_cast<int16_t>(in.below(2 * top) - top);
    made.codes = arrays->codes.back().data();
  }
  for (int p = 0; p < made.planes; ++p) {
    made.scale[p] = arrays->keep(in.reals(c_out));
    if (made.weight != LinearSpec::Weight::kSign) continue;
    arrays->signs.emplace_back(count);
    for (int8_t& sign : arrays->signs.back()) sign = in.below(2) ? 1 : -1;
    made.signs[p] = arrays->signs.back().data();
  }
  made.bias = arrays->keep(in.maybe(c_out));
  made.act = act(in, c_in, arrays);
  return made;
}

// nullptr where the layer is refused, as bindings/swin.cc then goes no further.
inline std::shared_ptr<SwinLayer> swin(Bytes& in, Isa isa, int channels, int window) {
  SwinArrays arrays;
  SwinSpec spec;
  spec.channels = channels;
  spec.window = window;
  spec.shift = in.below(8) == 0 ? in.number() : in.below(window);
  spec.heads = in.below(3) == 0 ? channels : channels % 2 ? 1 : 2;
  spec.eps = in.below(4) == 0 ? in.real() : 1e-5f;
  spec.proj_skip = in.below(2) == 0;
  spec.gain1 = in.real();
  spec.gain2 = in.real();
  const int hidden = in.below(2) ? 2 * channels : 1 + in.below(40), side = 2 * window - 1;
  spec.table = arrays.keep(in.reals(side * side * spec.heads));
  spec.norm1_weight = arrays.keep(in.reals(channels));
  spec.norm1_bias = arrays.keep(in.reals(channels));
  spec.norm2_weight = arrays.keep(in.reals(channels));
  spec.norm2_bias = arrays.keep(in.reals(channels));
  spec.qkv = linear(in, channels, 3 * channels, &arrays);
  spec.proj = linear(in, channels, channels, &arrays);
  spec.fc1 = linear(in, channels, hidden, &arrays);
  spec.fc2 = linear(in, hidden, channels, &arrays);
  SwinOperands operands;
  if (in.below(2)) {
    operands.q = act(in, channels, &arrays);
    operands.k = act(in, channels, &arrays);
    operands.v = act(in, channels, &arrays);
    operands.map = act(in, spec.heads, &arrays);
    spec.operands = &operands;
  }
  std::unique_ptr<SwinLayer> layer;
  if (!SwinLayer::make(spec, isa, &layer).ok()) return nullptr;
  return layer;
}

// Adds stages one by one, each reading what the one before it made.
class Grower {
 public:
  Grower(Bytes& in, Isa isa) : in_(in), isa_(isa) {}

  NetworkSpec take(int* multiple) {
    StageSpec picture;
    picture.kind = Kind::kPicture;
    picture.scale = in_.maybe(3);
    picture.bias = in_.maybe(3);
    picture.out = last_ = map(Input::kFloat, 3, 1);
    add(std::move(picture));
    for (int n = 1 + in_.below(6); n > 0; --n) stage();
    StageSpec end;
    conv(&end, Input::kFloat, last_, 3);
    end.out = last_ = map(Input::kFloat, 3, here().factor);
    add(std::move(end));
    StageSpec store;
    store.kind = Kind::kStore;
    store.input = last_;
    add(std::move(store));
    made_.scale = here().factor;
    cut();
    *multiple = window_;
    return std::move(made_);
  }

 private:
  const MapSpec& here() const { return made_.maps[static_cast<size_t>(last_)]; }
  int map(Input format, int channels, int factor, int zero = 0) {
    made_.maps.push_back({format, channels, factor, zero});
    return static_cast<int>(made_.maps.size()) - 1;
  }
  void add(StageSpec&& stage) { made_.stages.push_back(std::move(stage)); }
  int channels() {
    static const int values[] = {1, 2, 3, 4, 5, 8, 16, 17, 31, 32, 33, 48, 64};
    return in_.one_of(values);
  }
  // A float map like the last one that was made before, or none.
  int like_last() {
    for (int m = last_ - 1; m >= 0; --m) {
      const MapSpec& map = made_.maps[static_cast<size_t>(m)];
      if (map.format == Input::kFloat && map.channels == here().channels && map.factor == here().factor && in_.below(2)) return m;
    }
    return -1;
  }

  void conv(StageSpec* stage, Input format, int input, int outputs) {
    static const int sides[] = {1, 3, 3, 3, 5, 7};
    RowConv& conv = stage->conv;
    stage->kind = Kind::kConv;
    stage->input = input;
    conv.input = format;
    conv.c_in = made_.maps[static_cast<size_t>(input)].channels;
    conv.kh = in_.one_of(sides);
    conv.kw = in_.below(3) ? conv.kh : in_.one_of(sides);
    stage->planes = format == Input::kFloat ? 1 : 1 + in_.below(3);
    conv.c_out = outputs * stage->planes;
    const size_t weights = static_cast<size_t>(conv.c_out) * static_cast<size_t>(conv.c_in * conv.kh * conv.kw);
    const int taps = conv.kh * conv.kw;
    if (format == Input::kFloat) {
      stage->floats = in_.reals(static_cast<int>(weights));
      stage->scale = in_.maybe(outputs);
    } else {
      conv.a_min = format == Input::kBits ? -1 : -made_.maps[static_cast<size_t>(input)].zero;
      conv.a_max = format == Input::kBits ? 1 : highest_;
      const int top = format == Input::kBits ? 1 : 1 << in_.below(8);
      conv.w_min = -top;
      conv.w_max = format == Input::kBits ? 1 : in_.below(2) ? top - 1 : top;
      stage->codes.resize(weights);
      for (int16_t& code : stage->codes) {
        code = static_cast<int16_t>(format == Input::kBits ? (in_.below(2) ? 1 : -1) : conv.w_min + in_.below(conv.w_max - conv.w_min + 1));
      }
      stage->scale = in_.reals(conv.c_out);
      if (in_.below(3) == 0) stage->edge = in_.reals(taps * outputs);
    }
    stage->bias = in_.maybe(outputs);
    stage->slope = in_.maybe(outputs);
    stage->after = in_.maybe(outputs);
  }

  // Codes of the last map, made by a stage of its own.
  int coded(Input format) {
    StageSpec stage;
    stage.kind = Kind::kMap;
    stage.input = last_;
    SinkSpec sink;
    const int bits = 1 + in_.below(7), zero = format == Input::kBytes && in_.below(2) ? 1 << bits : 0;
    sink.lowest = -zero;
    sink.highest = highest_ = format == Input::kBits ? 1 : zero ? zero - 1 : (1 << (bits + 1)) - 1;
    sink.inv_step = in_.real();
    sink.shift = in_.maybe(here().channels);
    sink.map = map(format, here().channels, here().factor, zero);
    const int made = sink.map;
    stage.sinks.push_back(std::move(sink));
    add(std::move(stage));
    return made;
  }

  void stage() {
    StageSpec stage;
    const MapSpec from = here();
    int out_channels = from.channels, out_factor = from.factor;
    const int choice = in_.below(12);
    if (choice <= 4) {
      const Input format = static_cast<Input>(in_.below(3));
      const int input = format == Input::kFloat ? last_ : coded(format);
      const int up = from.factor <= 2 && in_.below(3) == 0 ? 2 : 1;
      out_channels = channels();
      if (in_.below(3) == 0) out_channels = from.channels;
      conv(&stage, format, input, out_channels * up * up);
      stage.up = up;
      out_factor *= up;
      if (up == 1 && out_channels == from.channels && in_.below(2)) stage.second = like_last();
      if (in_.below(8) == 0 && !stage.scale.empty()) stage.slot = made_.slots++;
    } else if (choice == 5) {
      stage.kind = Kind::kMap;
      stage.second = like_last();
      for (std::vector<float>* values : {&stage.scale, &stage.bias, &stage.slope, &stage.after}) *values = in_.maybe(from.channels);
    } else if (choice == 6) {
      stage.kind = Kind::kQuantize;
      stage.step = in_.below(2) ? std::abs(in_.real()) : 0.0f;
      stage.offset = in_.real();
      stage.lowest = -in_.below(129);
      stage.highest = in_.below(256);
      stage.shift = in_.maybe(from.channels);
      stage.scale = in_.maybe(from.channels);
    } else if (choice == 7) {
      stage.kind = Kind::kNorm;
      stage.scale = in_.reals(from.channels);
      stage.bias = in_.reals(from.channels);
      stage.eps = std::abs(in_.real());
    } else if (choice == 8 && from.channels % 4 == 0 && from.factor <= 2) {
      stage.kind = Kind::kShuffle;
      stage.up = 2;
      out_channels /= 4;
      out_factor *= 2;
    } else if (choice == 9 && from.factor == 1) {
      stage.kind = Kind::kBilinear;
      stage.up = 1 + in_.below(4);
      out_factor *= stage.up;
    } else if (choice == 11 && in_.below(2)) {
      channelwise(&stage, &out_channels);
    } else if (choice == 10 && window_ == 1 && from.channels <= 33) {
      swin_stage();
      return;
    } else {
      spatial(&stage);
    }
    if (stage.input < 0) stage.input = last_;
    stage.out = last_ = map(Input::kFloat, out_channels, out_factor);
    add(std::move(stage));
  }

  // A depthwise convolution, or channels repeated or averaged.
  void channelwise(StageSpec* stage, int* out_channels) {
    static const int sides[] = {1, 3, 3, 5, 9, 15};
    const int kind = in_.below(3);
    if (kind == 0) {
      RowConv& conv = stage->conv;
      stage->kind = Kind::kConv;
      conv.depthwise = true;
      conv.c_in = conv.c_out = *out_channels;
      conv.kh = in_.one_of(sides);
      conv.kw = in_.one_of(sides);
      stage->floats = in_.reals(static_cast<int>(conv.weights()));
      for (std::vector<float>* values : {&stage->scale, &stage->bias, &stage->slope, &stage->after}) *values = in_.maybe(*out_channels);
      stage->second = like_last();
      return;
    }
    stage->up = 2 + in_.below(3);
    if (kind == 1 && *out_channels % stage->up == 0) {
      stage->kind = Kind::kAverage;
      *out_channels /= stage->up;
    } else {
      stage->kind = Kind::kRepeat;
      *out_channels *= stage->up;
    }
  }

  void spatial(StageSpec* stage) {
    StageSpec mean;
    mean.kind = Kind::kChannelMean;
    mean.input = last_;
    mean.out = map(Input::kFloat, 1, here().factor);
    stage->kind = Kind::kSpatial;
    stage->second = mean.out;
    stage->kh = 1 + 2 * in_.below(8);
    stage->kw = 1 + 2 * in_.below(8);
    add(std::move(mean));
  }

  void swin_stage() {
    static const int windows[] = {1, 2, 3, 4, 5, 8};
    StageSpec stage;
    stage.kind = Kind::kSwin;
    stage.window = in_.one_of(windows);
    stage.swin = swin(in_, isa_, here().channels, stage.window);
    if (!stage.swin) return;
    window_ = stage.window;
    StageSpec copy;  // the layer works in place, and nothing else may read what it works on
    copy.kind = Kind::kMap;
    copy.input = last_;
    copy.out = last_ = map(Input::kFloat, here().channels, here().factor);
    add(std::move(copy));
    stage.input = stage.out = last_;
    add(std::move(stage));
    StageSpec behind;
    behind.kind = Kind::kMap;
    behind.input = last_;
    behind.out = last_ = map(Input::kFloat, here().channels, here().factor);
    add(std::move(behind));
  }

  // Segments: whole stages alone, and a cut here and there.
  void cut() {
    const auto alone = [&](size_t s) { return made_.stages[s].kind == Kind::kMean || made_.stages[s].kind == Kind::kSwin; };
    for (size_t s = 0; s < made_.stages.size(); ++s) {
      if (s == 0 || alone(s) || alone(s - 1) || in_.below(4) == 0) made_.segments.push_back(static_cast<int>(s));
    }
  }

  Bytes& in_;
  Isa isa_;
  NetworkSpec made_;
  int last_ = 0, highest_ = 255, window_ = 1;
};

inline NetworkSpec grow(Bytes& in, Isa isa, int* multiple) { return Grower(in, isa).take(multiple); }

}  // namespace qsr::fuzz
