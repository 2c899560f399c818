// libFuzzer target of the compiled engine: networks as bindings/engine.cc would hand them over, grown from the input's bytes so
// that most of them fit together, then damaged in a few places. What is made also runs, on a small picture.
//
// Built with -DREPLAY it is a program that runs the files named on its command line, without libFuzzer (any compiler).
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <memory>
#include <vector>

#include "graph/engine.h"
#include "tests/fuzz/engine_network.h"

namespace {

// One awkward value in one place: a field of a map, a stage, a sink or the network.
void damage(qsr::fuzz::Bytes& in, qsr::NetworkSpec* network) {
  qsr::StageSpec& stage = network->stages[static_cast<size_t>(in.below(static_cast<int>(network->stages.size())))];
  int* const numbers[] = {&stage.input, &stage.second, &stage.out, &stage.slot, &stage.up, &stage.planes, &stage.kh, &stage.kw,
                          &stage.lowest, &stage.highest, &stage.window, &stage.conv.c_in, &stage.conv.c_out, &stage.conv.kh,
                          &stage.conv.kw, &stage.conv.a_min, &stage.conv.a_max, &stage.conv.w_min, &stage.conv.w_max,
                          &network->scale, &network->slots};
  std::vector<float>* const vectors[] = {&stage.scale, &stage.bias, &stage.slope, &stage.after, &stage.floats, &stage.edge, &stage.shift};
  const int kind = in.below(8);
  if (kind <= 2) {
    *numbers[in.below(static_cast<int>(std::size(numbers)))] = in.number();
  } else if (kind == 3) {
    std::vector<float>& values = *vectors[in.below(static_cast<int>(std::size(vectors)))];
    values.resize(static_cast<size_t>(in.below(70)), in.real());
  } else if (kind == 4) {
    qsr::MapSpec& map = network->maps[static_cast<size_t>(in.below(static_cast<int>(network->maps.size())))];
    int* const fields[] = {&map.channels, &map.factor, &map.zero};
    *fields[in.below(3)] = in.number();
    if (in.below(4) == 0) map.format = static_cast<qsr::Input>(in.below(3));
  } else if (kind == 5) {
    stage.kind = static_cast<qsr::Kind>(in.below(qsr::kKinds));
    if (in.below(4) == 0) stage.conv.depthwise = !stage.conv.depthwise;
  } else if (kind == 6 && !stage.sinks.empty()) {
    qsr::SinkSpec& sink = stage.sinks[0];
    int* const fields[] = {&sink.map, &sink.lowest, &sink.highest};
    *fields[in.below(3)] = in.number();
    if (in.below(3) == 0) stage.sinks.insert(stage.sinks.end(), static_cast<size_t>(in.below(3)), sink);
  } else {
    network->segments.insert(network->segments.begin() + in.below(static_cast<int>(network->segments.size()) + 1), in.number());
  }
}

// What kernels may assume of a picture is what bindings/engine.cc makes sure of: its size, and floats of any value.
void run(qsr::fuzz::Bytes& in, const qsr::Engine& engine, int multiple) {
  qsr::Job job;
  if (in.below(8) == 0) multiple = 1;  // pictures that are no whole windows are another floor's mistake, and no reason to crash
  const int most = multiple * std::max(engine.graph().scale, 1);
  job.height = multiple * (1 + in.below(std::max(12 / most, 1)));
  job.width = multiple * (1 + in.below(std::max(20 / most, 1)));
  job.bytes_in = in.below(2) == 0;
  job.bytes_out = in.below(2) == 0;
  const size_t pixels = static_cast<size_t>(job.height) * static_cast<size_t>(job.width) * 3, scale = static_cast<size_t>(engine.graph().scale);
  // vectors of the exact size: AddressSanitizer sees one byte too many
  std::vector<uint8_t> bytes(job.bytes_in ? pixels : 0), out_bytes(job.bytes_out ? pixels * scale * scale : 0);
  std::vector<float> floats(job.bytes_in ? 0 : pixels), out_floats(job.bytes_out ? 0 : pixels * scale * scale);
  for (uint8_t& value : bytes) value = in.byte();
  for (float& value : floats) value = in.real();
  job.picture = job.bytes_in ? static_cast<const void*>(bytes.data()) : floats.data();
  job.out = job.bytes_out ? static_cast<void*>(out_bytes.data()) : out_floats.data();
  std::vector<qsr::StageTime> times(engine.graph().stages.size());
  if (in.below(4) == 0) job.times = times.data();
  job.visit = [](void* context, int, const uint8_t* first, size_t) { *static_cast<unsigned*>(context) += *first; };
  unsigned seen = 0;
  job.context = &seen;
  size_t memory = 0;
  if (!engine.memory(job.height, job.width, &memory).ok() || !engine.run(job).ok()) return;
  for (float value : out_floats) {
    if (!(value >= 0.0f && value <= 1.0f)) {
      std::fprintf(stderr, "a picture holds %g\n", static_cast<double>(value));
      std::abort();
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 8) return 0;
  qsr::fuzz::Bytes in(data, size);
  int multiple = 1;
  const qsr::Isa isa = std::min(static_cast<qsr::Isa>(in.below(3)), qsr::best_isa());
  qsr::NetworkSpec network = qsr::fuzz::grow(in, isa, &multiple);
  for (int n = in.below(4); n > 0; --n) damage(in, &network);
  std::unique_ptr<qsr::Engine> engine;
  const qsr::Status status = qsr::Engine::make(std::move(network), isa, 1 + in.below(2), in.below(3) == 0, &engine);
  if (status.ok()) run(in, *engine, multiple);
  return 0;
}

#ifdef REPLAY
int main(int count, char** names) {
  for (int i = 1; i < count; ++i) {
    std::FILE* file = std::fopen(names[i], "rb");
    if (!file) {
      std::perror(names[i]);
      return 1;
    }
    std::vector<uint8_t> data(1 << 20);
    data.resize(std::fread(data.data(), 1, data.size(), file));
    std::fclose(file);
    std::printf("%s\n", names[i]);
    LLVMFuzzerTestOneInput(data.data(), data.size());
  }
  return 0;
}
#endif
