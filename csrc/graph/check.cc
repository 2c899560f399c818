#include "graph/spec.h"

#include <utility>

#include "kernels/picture.h"

namespace qsr {
namespace {

constexpr size_t kMaxMaps = 1 << 16;
constexpr int kMaxChannels = 1 << 16;
constexpr int kMaxFactor = 64;

// Checks stage after stage; `made` says which maps exist so far.
class Checker {
 public:
  explicit Checker(const NetworkSpec& network) : network_(network), made_(network.maps.size(), false), codes_(network.maps.size()) {}

  Status run() {
    const size_t count = network_.stages.size();
    if (count == 0 || count > kMaxMaps || network_.maps.size() > kMaxMaps || network_.slots < 0 ||
        static_cast<size_t>(network_.slots) > count || network_.scale < 1 || network_.scale > kMaxFactor) {
      return failure(Code::kFormat, "network: found %zu stages, %zu maps, %d slots, scale %d", count, network_.maps.size(), network_.slots, network_.scale);
    }
    for (const MapSpec& map : network_.maps) {
      if (map.channels < 1 || map.channels > kMaxChannels || map.factor < 1 || map.factor > kMaxFactor || map.zero < 0 || map.zero > 255) {
        return failure(Code::kFormat, "map: found %d channels, factor %d, zero %d", map.channels, map.factor, map.zero);
      }
    }
    if (network_.segments.empty() || network_.segments[0] != 0) return failure(Code::kFormat, "segments: expected the first at stage 0");
    for (size_t i = 1; i < network_.segments.size(); ++i) {
      if (network_.segments[i] <= network_.segments[i - 1] || network_.segments[i] >= static_cast<int>(count)) {
        return failure(Code::kFormat, "segments: found %d behind %d", network_.segments[i], network_.segments[i - 1]);
      }
    }
    int stores = 0;
    for (size_t i = 0; i < count; ++i) {
      const StageSpec& stage = network_.stages[i];
      if (!check(stage) || !outputs_ok(stage)) {
        return failure(Code::kFormat, "stage %zu (%.60s): its maps, vectors or numbers do not fit together", i, stage.name.c_str());
      }
      if (stage.kind == Kind::kConv) {
        if (Status status = check_row_conv(stage.conv); !status.ok()) return status;
      }
      if ((stage.kind == Kind::kMean || stage.kind == Kind::kSwin) && !alone(static_cast<int>(i))) {
        return failure(Code::kFormat, "stage %zu (%.60s): expected a segment of its own", i, stage.name.c_str());
      }
      stores += stage.kind == Kind::kStore;
    }
    if (stores != 1) return failure(Code::kFormat, "network: found %d stages that store the picture, expected 1", stores);
    return {};
  }

 private:
  const MapSpec* map(int number) const {
    return number >= 0 && static_cast<size_t>(number) < network_.maps.size() ? &network_.maps[static_cast<size_t>(number)] : nullptr;
  }
  // A map that exists and is of floats.
  const MapSpec* floats(int number) const {
    const MapSpec* found = map(number);
    return found && made_[static_cast<size_t>(number)] && found->format == Input::kFloat ? found : nullptr;
  }
  static bool vector(const std::vector<float>& values, size_t count) { return values.empty() || values.size() == count; }
  bool slot(const StageSpec& stage) const { return stage.slot >= -1 && stage.slot < network_.slots; }

  bool alone(int stage) const {
    for (size_t i = 0; i < network_.segments.size(); ++i) {
      const int end = i + 1 < network_.segments.size() ? network_.segments[i + 1] : static_cast<int>(network_.stages.size());
      if (network_.segments[i] == stage) return end == stage + 1;
    }
    return false;
  }

  // What a stage makes: channels and factor of its maps.
  bool make(const StageSpec& stage, int channels, int factor, bool codes) {
    if (stage.sinks.size() > 2 || (!codes && !stage.sinks.empty()) || (stage.out < 0 && stage.sinks.empty())) return false;
    const auto once = [&](int number, bool is_float) {
      const MapSpec* found = map(number);
      if (!found || made_[static_cast<size_t>(number)] || found->channels != channels || found->factor != factor) return false;
      if ((found->format == Input::kFloat) != is_float) return false;
      made_[static_cast<size_t>(number)] = true;
      return true;
    };
    if (stage.out >= 0 && !once(stage.out, true)) return false;
    for (const SinkSpec& sink : stage.sinks) {
      if (!once(sink.map, false) || !vector(sink.shift, static_cast<size_t>(channels))) return false;
      const int zero = map(sink.map)->zero;
      codes_[static_cast<size_t>(sink.map)] = {sink.lowest, sink.highest};
      if (map(sink.map)->format == Input::kBytes && (sink.lowest > sink.highest || sink.lowest + zero < 0 || sink.highest + zero > 255)) return false;
    }
    return true;
  }

  bool outputs_ok(const StageSpec& stage) {
    const MapSpec* in = map(stage.input);
    switch (stage.kind) {
      case Kind::kPicture:
        return make(stage, kPictureChannels, 1, false) && vector(stage.scale, kPictureChannels) && vector(stage.bias, kPictureChannels);
      case Kind::kConv: {
        const int outputs = stage.conv.c_out / stage.planes, channels = outputs / (stage.up * stage.up);
        if (stage.second >= 0) {
          const MapSpec* second = floats(stage.second);
          if (!second || second->channels != channels || second->factor != in->factor * stage.up) return false;
        }
        return make(stage, channels, in->factor * stage.up, true);
      }
      case Kind::kMap:
        if (stage.second >= 0) {
          const MapSpec* second = floats(stage.second);
          if (!second || second->channels != in->channels || second->factor != in->factor) return false;
        }
        return make(stage, in->channels, in->factor, true);
      case Kind::kQuantize:
      case Kind::kNorm:
      case Kind::kSpatial:
        return make(stage, in->channels, in->factor, false);
      case Kind::kShuffle:
        return in->channels % (stage.up * stage.up) == 0 && make(stage, in->channels / (stage.up * stage.up), in->factor * stage.up, false);
      case Kind::kRepeat:
        return make(stage, in->channels * stage.up, in->factor, false);
      case Kind::kAverage:
        return in->channels % stage.up == 0 && make(stage, in->channels / stage.up, in->factor, false);
      case Kind::kBilinear:
        return make(stage, in->channels, in->factor * stage.up, false);
      case Kind::kChannelMean:
        return make(stage, 1, in->factor, false);
      case Kind::kStore: {
        const MapSpec* second = stage.second >= 0 ? floats(stage.second) : in;
        return in->channels == kPictureChannels && in->factor == network_.scale && second && second->channels == in->channels &&
               second->factor == in->factor && stage.out < 0 && stage.sinks.empty();
      }
      case Kind::kMean:
        return stage.slot >= 0 && stage.out < 0 && stage.sinks.empty();
      case Kind::kSwin:
        return stage.out == stage.input && stage.sinks.empty();
    }
    return false;
  }

  // No field is set that belongs to another kind of stage: what is not looked at here may be looked at when it runs.
  static bool own(const StageSpec& stage) {
    const Kind kind = stage.kind;
    const bool conv = kind == Kind::kConv;
    const bool sized = kind == Kind::kShuffle || kind == Kind::kBilinear || kind == Kind::kRepeat || kind == Kind::kAverage;
    if (stage.up != 1 && !conv && !sized) return false;
    if (stage.second >= 0 && !conv && kind != Kind::kMap && kind != Kind::kSpatial && kind != Kind::kStore) return false;
    if (stage.slot >= 0 && !conv && kind != Kind::kQuantize && kind != Kind::kMean) return false;
    if (stage.input >= 0 && kind == Kind::kPicture) return false;
    if ((stage.kh != 1 || stage.kw != 1) && kind != Kind::kSpatial) return false;
    return conv || (stage.planes == 1 && stage.edge.empty() && stage.codes.empty() && stage.floats.empty());
  }

  bool check(const StageSpec& stage) const {
    if (stage.up < 1 || stage.up > kMaxEnlargement || !slot(stage) || !own(stage)) return false;
    if (stage.kind == Kind::kPicture) return true;
    if (stage.kind == Kind::kConv) return conv(stage);
    const MapSpec* in = floats(stage.input);
    if (!in) return false;
    const size_t channels = static_cast<size_t>(in->channels);
    if (!vector(stage.scale, channels) || !vector(stage.bias, channels) || !vector(stage.slope, channels) || !vector(stage.after, channels) ||
        !vector(stage.shift, channels)) {
      return false;
    }
    if (stage.kind == Kind::kNorm) return stage.scale.size() == channels && stage.bias.size() == channels && stage.eps >= 0;
    if (stage.kind == Kind::kSwin) return stage.swin && stage.swin->channels() == in->channels && stage.swin->window() == stage.window;
    if (stage.kind == Kind::kQuantize) return stage.step >= 0 && stage.lowest <= stage.highest;
    if (stage.kind == Kind::kSpatial) {
      const MapSpec* by = floats(stage.second);
      return by && by->channels == 1 && by->factor == in->factor && stage.kh % 2 == 1 && stage.kw % 2 == 1 && stage.kh > 0 && stage.kw > 0 &&
             stage.kh <= 15 && stage.kw <= 15;
    }
    return true;
  }

  bool conv(const StageSpec& stage) const {
    const RowConv& conv = stage.conv;
    const MapSpec* in = map(stage.input);
    if (!in || !made_[static_cast<size_t>(stage.input)] || in->format != conv.input || in->channels != conv.c_in) return false;
    if (!check_row_conv(conv).ok() || (conv.input == Input::kBytes && in->zero != conv.zero())) return false;
    const auto [lowest, highest] = codes_[static_cast<size_t>(stage.input)];
    if (conv.input == Input::kBytes && (lowest < conv.a_min || highest > conv.a_max)) return false;
    if (stage.planes < 1 || stage.planes > 3 || conv.c_out % stage.planes != 0) return false;
    const size_t outputs = static_cast<size_t>(conv.c_out / stage.planes), planes = static_cast<size_t>(stage.planes);
    if (outputs % static_cast<size_t>(stage.up * stage.up) != 0) return false;
    const size_t taps = static_cast<size_t>(conv.kh * conv.kw), weights = conv.weights();
    const bool real = conv.input == Input::kFloat;
    if (stage.codes.size() != (real ? 0 : weights) || stage.floats.size() != (real ? weights : 0)) return false;
    for (int16_t code : stage.codes) {
      if (code < conv.w_min || code > conv.w_max || (conv.input == Input::kBits && code != -1 && code != 1)) return false;
    }
    if (real ? !stage.scale.empty() && stage.scale.size() != outputs : stage.scale.size() != planes * outputs) return false;
    if (real && stage.planes != 1) return false;
    if (stage.slot >= 0 && stage.scale.empty()) return false;
    if (!stage.edge.empty() && stage.edge.size() != taps * outputs) return false;
    return vector(stage.bias, outputs) && vector(stage.slope, outputs) && vector(stage.after, outputs);
  }

  const NetworkSpec& network_;
  std::vector<bool> made_;
  std::vector<std::pair<int, int>> codes_;  // lowest and highest of a map of bytes
};

}  // namespace

Status check_network(const NetworkSpec& network) noexcept {
  try {
    return Checker(network).run();
  } catch (...) {
    return failure(Code::kMemory, "out of memory");
  }
}

}  // namespace qsr
