// A network as the engine is told it: maps and the stages that make them. qsr/runtime/plan.py lowers a packed program to this.
//
// A map is (factor h, factor w, channels) for a picture of h x w, kept as floats, as bytes or as bits (kernels/conv_rows.h).
// Stages are in topological order and cut into segments. Within a segment rows roll through line buffers (schedule.h): a map
// that is only used in its own segment never exists as a whole.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "kernels/conv_rows.h"
#include "kernels/swin.h"

namespace qsr {

struct MapSpec {
  Input format = Input::kFloat;
  int channels = 0, factor = 1;
  int zero = 0;  // kBytes: the byte of code 0, which padded pixels hold
};

enum class Kind : uint8_t {
  kPicture,      // out = the picture * scale + bias (per channel)
  kConv,         // sums of `input`, then epilogue.h; `up` > 1 stores output channel (dy * up + dx) * c + k of (y, x) as channel k of
                 // (y * up + dy, x * up + dx)
  kMap,          // epilogue.h over a float map
  kQuantize,     // out = the value that a code stands for (`act`)
  kNorm,         // out = (x - mean) / sqrt(var + eps) * scale + bias over the channels of a pixel
  kRepeat,       // the channels `up` times side by side
  kAverage,      // (part 0 + part 1 + ...) / up of `up` equal parts of the channels
  kShuffle,      // PixelShuffle by `up`, channels ordered as ops.py says
  kBilinear,     // enlarged `up` times
  kChannelMean,  // out = mean over channels of |x|, one channel
  kSpatial,      // out = x * (box average of `second` over kh x kw, zero padding counted)
  kStore,        // the picture that comes out
  kMean,         // slots[slot] = mean |x| of the whole map
  kSwin,         // in place: out is input
};
constexpr int kKinds = 14;

struct SinkSpec {
  int map = -1;
  float inv_step = 1.0f;
  int lowest = 0, highest = 0;
  std::vector<float> shift;  // as many as channels, or none
};

// Vectors are empty (scale 1, others 0 or absent) or have `outputs` numbers: c_out of a convolution, else the map's channels.
struct StageSpec {
  Kind kind = Kind::kMap;
  std::string name;               // of the layer, for people
  std::string what;               // what is fused, for people
  int input = -1, second = -1;    // maps; second: the residual (kConv, kMap), the factor (kSpatial)
  int out = -1;                   // float map
  std::vector<SinkSpec> sinks;    // at most 2
  std::vector<float> scale;       // kConv: [planes][outputs]
  std::vector<float> bias, slope, after;
  int slot = -1;                  // kConv, kQuantize: sums (values) are multiplied by that number; kMean: sets it
  int up = 1;

  // kConv: conv.c_out is planes * outputs, output (plane * outputs + o); codes or floats are (c_out, c_in, kh, kw), floats of a
  // depthwise one (c_out, kh, kw).
  // edge: [tap][outputs], what a padded tap takes off the bias (an input whose code 0 is not the value 0), or empty.
  RowConv conv;
  int planes = 1;
  std::vector<int16_t> codes;
  std::vector<float> floats;
  std::vector<float> edge;
  int kh = 1, kw = 1;             // kSpatial

  // kQuantize: uniform (step > 0): clip(rint((x + shift) * (1 / step)), lowest, highest) * step + offset; else scale * sign(x + shift)
  float step = 0.0f, offset = 0.0f;
  int lowest = 0, highest = 0;
  std::vector<float> shift;
  float eps = 0.0f;               // kNorm

  std::shared_ptr<SwinLayer> swin;
  int window = 1;
};

struct NetworkSpec {
  std::vector<MapSpec> maps;
  std::vector<StageSpec> stages;
  std::vector<int> segments;  // the first stage of each, ascending, the first is 0
  int scale = 1;              // of the picture that comes out
  int slots = 0;
};

// Everything that building and running rely on: extents of vectors and weights, maps made once and before they are used,
// formats and channels that fit together, integer overflow. kFormat.
Status check_network(const NetworkSpec& network) noexcept;

}  // namespace qsr
