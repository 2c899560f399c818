#include "graph/stage.h"

#include <algorithm>

#include "base/poison.h"

namespace qsr {
namespace {

// Bytes of sums per call: well within the L2, and wide enough for a few blocks of tiles.
constexpr size_t kAccTarget = 96 << 10, kAccTargetTall = 150 << 10;
constexpr size_t kMostPixels = 256;
constexpr int kWinogradUnit = 48;  // pixels: Winograd kernels take blocks of 12 or 24 tiles of 2, 3 or 4 pixels
constexpr int kWinogradColumns = 4;

// Vectors of one stage, one behind the other in a single buffer.
class Vectors {
 public:
  explicit Vectors(size_t floats) : buffer_(Buffer::zeros(4 * floats)), at_(buffer_.floats()) {}
  bool ok() const { return buffer_.ok(); }
  Buffer take() { return std::move(buffer_); }

  // `count` numbers from `first` on, zeros up to a multiple of 16; nullptr for an empty vector.
  const float* slice(const std::vector<float>& values, size_t first, size_t count) {
    if (values.empty()) return nullptr;
    float* made = at_;
    std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(first), count, made);
    at_ += round_up(count, 16);
    return made;
  }
  template <typename T>
  T* room(size_t count) {
    T* made = reinterpret_cast<T*>(at_);
    at_ += round_up(count, 16);
    return made;
  }

 private:
  Buffer buffer_;
  float* at_;
};

CodeSink sink_of(const SinkSpec& sink, const MapSpec& map, const float* shift) {
  return {map.format, shift, sink.inv_step, sink.lowest, sink.highest, map.zero};
}

// The per-channel vectors repeat over merged neighbours: sinks have a shift per channel of the map, everything else per output.
Status make_targets(const std::vector<MapSpec>& maps, bool from_float, Stage* stage) {
  const StageSpec& spec = stage->spec;
  const size_t up = static_cast<size_t>(spec.up), c = static_cast<size_t>(stage->channels), outputs = c * up * up;
  bool merge = true;
  for (const SinkSpec& sink : spec.sinks) merge = merge && c % 32 == 0 && maps[static_cast<size_t>(sink.map)].channels > 0;
  const size_t across = merge ? up : 1, channels = c * across, planes = static_cast<size_t>(spec.planes), padded = round_up(channels, 16);
  Vectors vectors(up * (up / across) * (padded * (planes + 7) + 64));
  if (!vectors.ok()) return failure(Code::kMemory, "out of memory");
  for (size_t dy = 0; dy < up; ++dy) {
    for (size_t dx = 0; dx < up; dx += across) {
      Target target;
      target.dy = static_cast<int>(dy);
      target.dx = static_cast<int>(dx);
      target.first = (dy * up + dx) * c;
      Epilogue& e = target.epilogue;
      e.channels = static_cast<int>(channels);
      e.planes = spec.planes;
      e.from_float = from_float;
      if (!spec.scale.empty()) {
        float* scale = vectors.room<float>(padded * planes);
        for (size_t p = 0; p < planes; ++p) std::copy_n(spec.scale.begin() + static_cast<std::ptrdiff_t>(p * outputs + target.first), channels, scale + p * padded);
        e.scale = scale;
      }
      e.bias = vectors.slice(spec.bias, target.first, channels);
      e.slope = vectors.slice(spec.slope, target.first, channels);
      e.after = vectors.slice(spec.after, target.first, channels);
      e.sinks = static_cast<int>(spec.sinks.size());
      for (size_t s = 0; s < spec.sinks.size(); ++s) {
        const SinkSpec& sink = spec.sinks[s];
        std::vector<float> shift;
        for (size_t i = 0; i < across; ++i) shift.insert(shift.end(), sink.shift.begin(), sink.shift.end());
        e.sink[s] = sink_of(sink, maps[static_cast<size_t>(sink.map)], vectors.slice(shift, 0, channels));
      }
      const bool codes_alone = spec.out < 0 && spec.second < 0 && spec.slot < 0 && spec.edge.empty();
      if (codes_alone) {
        int32_t* threshold = vectors.room<int32_t>(padded);
        uint32_t* flip = vectors.room<uint32_t>(round_up(channels, 32) / 32);
        if (make_thresholds(e, threshold, flip)) {
          e.threshold = threshold;
          e.flip = flip;
        }
      }
      stage->targets.push_back(target);
    }
  }
  stage->vectors = vectors.take();
  return {};
}

Status make_conv(const std::vector<MapSpec>& maps, Isa limit, Stage* stage) {
  StageSpec& spec = stage->spec;
  const RowConv& conv = spec.conv;
  stage->kernel = select_row_kernel(conv, limit);
  if (!stage->kernel) return failure(Code::kFormat, "%.60s: no kernel computes this convolution", spec.name.c_str());
  const bool real = conv.input == Input::kFloat;
  stage->tile_rows = stage->kernel->tile_rows;
  // What a float kernel rounds depends on how rows and columns are grouped: groups lie on a grid of the picture's, so that the
  // same numbers come out whatever bands and tiles there are. Integers are the same in any grouping.
  if (real) {
    stage->align_rows = stage->tile_rows;
    stage->align_columns = kWinogradColumns;
  }
  const size_t pixel = 4 * stage->kernel->acc_stride(conv) * static_cast<size_t>(stage->tile_rows);
  stage->unit = stage->tile_rows > 1 ? kWinogradUnit : 16;
  const size_t unit = static_cast<size_t>(stage->unit);
  const size_t target = stage->tile_rows < 4 ? kAccTarget : kAccTargetTall;
  stage->chunk = static_cast<int>(std::clamp(target / pixel, size_t{1}, kMostPixels) / unit * unit);
  stage->chunk = std::max(stage->chunk, stage->unit);

  // not monotonic: kernels cut a row into pieces of even size
  for (int pixels = 1; pixels <= stage->chunk; ++pixels) {
    stage->kernel_scratch = std::max(stage->kernel_scratch, round_up(stage->kernel->scratch_bytes(conv, pixels), 64));
  }
  stage->kernel_scratch += kRedZone;

  stage->packed = Buffer::zeros(stage->kernel->packed_bytes(conv) + 64);
  const size_t row = (static_cast<size_t>(stage->chunk + conv.kw + kSlackPixels) + kSlackPixels) * conv.pixel_bytes() + 64;
  stage->padding = Buffer(row);
  stage->taps = Buffer(4 * conv.c_out_padded() * static_cast<size_t>(conv.kh * conv.kw));
  if (!stage->packed.ok() || !stage->padding.ok() || !stage->taps.ok()) return failure(Code::kMemory, "out of memory");
  stage->kernel->pack(conv, real ? static_cast<const void*>(spec.floats.data()) : spec.codes.data(), stage->packed.bytes());
  std::memset(stage->padding.bytes(), conv.zero(), row);
  if (conv.input == Input::kBits) tap_sums(conv, spec.codes.data(), reinterpret_cast<int32_t*>(stage->taps.bytes()));
  std::vector<int16_t>().swap(spec.codes);
  std::vector<float>().swap(spec.floats);
  return make_targets(maps, real, stage);
}

}  // namespace

size_t Stage::acc_bytes() const noexcept {
  if (spec.kind != Kind::kConv) return 0;
  // an epilogue may read 16 sums behind its last one
  return round_up(4 * static_cast<size_t>(tile_rows) * static_cast<size_t>(chunk) * kernel->acc_stride(spec.conv) + 128, 64) + kRedZone;
}

size_t Stage::scratch_bytes() const noexcept {
  if (spec.kind != Kind::kConv) return 0;
  const size_t vectors = 4 * round_up(static_cast<size_t>(channels * spec.up), 16) * static_cast<size_t>(spec.planes + 1);
  return acc_bytes() + kernel_scratch + round_up(vectors, 64);
}

Status make_stage(StageSpec&& moved, const std::vector<MapSpec>& maps, Isa limit, Stage* stage) {
  stage->spec = std::move(moved);
  const StageSpec& spec = stage->spec;
  const MapSpec* in = spec.input >= 0 ? &maps[static_cast<size_t>(spec.input)] : nullptr;
  const MapSpec* out = spec.out >= 0 ? &maps[static_cast<size_t>(spec.out)] : nullptr;
  stage->grid_factor = in ? in->factor : 1;
  stage->channels = spec.kind == Kind::kConv ? spec.conv.c_out / spec.planes / (spec.up * spec.up) : out ? out->channels : in->channels;
  stage->up = spec.kind == Kind::kConv || spec.kind == Kind::kShuffle ? spec.up : 1;
  if (spec.kind == Kind::kBilinear) {
    stage->grid_factor = in->factor * spec.up;
    stage->operands.push_back({spec.input, Operand::Kind::kBilinear, 0, 0, spec.up});
    return {};
  }
  if (spec.kind == Kind::kConv) {
    stage->operands.push_back({spec.input, Operand::Kind::kReach, spec.conv.kh / 2, spec.conv.kw / 2, 1});
    if (spec.second >= 0) stage->operands.push_back({spec.second, Operand::Kind::kUp, 0, 0, spec.up});
    return make_conv(maps, limit, stage);
  }
  if (in) stage->operands.push_back({spec.input, Operand::Kind::kReach, 0, 0, 1});
  if (spec.second >= 0) stage->operands.push_back({spec.second, Operand::Kind::kReach, spec.kh / 2, spec.kw / 2, 1});
  if (spec.kind == Kind::kMap) return make_targets(maps, true, stage);
  if (spec.kind == Kind::kPicture) byte_values(spec.scale.empty() ? nullptr : spec.scale.data(), spec.bias.empty() ? nullptr : spec.bias.data(), &stage->values);
  return {};
}

}  // namespace qsr
