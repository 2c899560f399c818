// qsr._kernels.Engine: whole networks. Reads the plan that qsr/runtime/plan.py makes; graph/ checks it.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstring>
#include <memory>
#include <string>

#include "base/threads.h"
#include "bindings/raise.h"
#include "bindings/swin.h"
#include "graph/engine.h"

namespace py = pybind11;

namespace {

template <typename T>
using Array = py::array_t<T, py::array::c_style>;

template <typename T>
T get(const py::dict& from, const char* key, T otherwise) {
  return from.contains(key) ? from[key].cast<T>() : otherwise;
}

template <typename T>
std::vector<T> numbers(const py::dict& from, const char* key) {
  if (!from.contains(key) || from[key].is_none()) return {};
  const py::object found = from[key];
  if (!py::isinstance<Array<T>>(found)) throw py::type_error(std::string(key) + ": found an array of another type or layout");
  const Array<T> array = found.cast<Array<T>>();
  return std::vector<T>(array.data(), array.data() + array.size());
}

qsr::Input format_of(const std::string& name) {
  if (name == "bits") return qsr::Input::kBits;
  if (name == "bytes") return qsr::Input::kBytes;
  if (name == "float") return qsr::Input::kFloat;
  throw py::value_error("found the format " + name + ", expected bits, bytes or float");
}

qsr::Kind kind_of(const std::string& name) {
  static const char* const names[qsr::kKinds] = {"picture", "conv", "map", "quantize", "norm", "repeat", "average", "shuffle", "bilinear", "channel_mean", "spatial", "store", "mean", "swin"};
  for (int i = 0; i < qsr::kKinds; ++i) {
    if (name == names[i]) return static_cast<qsr::Kind>(i);
  }
  throw py::value_error("no stage is called " + name);
}

qsr::StageSpec stage_of(const py::dict& from, qsr::Isa limit) {
  qsr::StageSpec made;
  made.kind = kind_of(from["kind"].cast<std::string>());
  made.name = get<std::string>(from, "name", "");
  made.what = get<std::string>(from, "what", "");
  made.input = get(from, "input", -1);
  made.second = get(from, "second", -1);
  made.out = get(from, "out", -1);
  made.scale = numbers<float>(from, "scale");
  made.bias = numbers<float>(from, "bias");
  made.slope = numbers<float>(from, "slope");
  made.after = numbers<float>(from, "after");
  made.edge = numbers<float>(from, "edge");
  made.shift = numbers<float>(from, "shift");
  made.codes = numbers<int16_t>(from, "codes");
  made.floats = numbers<float>(from, "floats");
  made.slot = get(from, "slot", -1);
  made.up = get(from, "up", 1);
  made.planes = get(from, "planes", 1);
  made.step = get(from, "step", 0.0f);
  made.offset = get(from, "offset", 0.0f);
  made.lowest = get(from, "lowest", 0);
  made.highest = get(from, "highest", 0);
  made.eps = get(from, "eps", 0.0f);
  made.kh = get(from, "kh", 1);
  made.kw = get(from, "kw", 1);
  made.window = get(from, "window", 1);
  if (from.contains("sinks")) {
    for (const py::handle& each : from["sinks"].cast<py::list>()) {
      const py::dict sink = each.cast<py::dict>();
      made.sinks.push_back({sink["map"].cast<int>(), get(sink, "inv_step", 1.0f), get(sink, "lowest", 0), get(sink, "highest", 0), numbers<float>(sink, "shift")});
    }
  }
  if (made.kind == qsr::Kind::kConv) {
    qsr::RowConv& conv = made.conv;
    conv.input = format_of(from["format"].cast<std::string>());
    conv.c_in = from["c_in"].cast<int>();
    conv.c_out = from["c_out"].cast<int>();
    conv.kh = made.kh;
    conv.kw = made.kw;
    conv.depthwise = get(from, "depthwise", false);
    const py::tuple ranges = get(from, "ranges", py::make_tuple(0, 0, 0, 0));
    conv.a_min = ranges[0].cast<int>();
    conv.a_max = ranges[1].cast<int>();
    conv.w_min = ranges[2].cast<int>();
    conv.w_max = ranges[3].cast<int>();
    made.kh = made.kw = 1;  // of kSpatial; a convolution has its own
  }
  if (made.kind == qsr::Kind::kSwin) made.swin = swin_layer(from["swin"].cast<py::dict>(), limit);
  return made;
}

class Engine {
 public:
  Engine(const py::list& maps, const py::list& stages, const py::list& segments, int scale, int slots, int isa, int threads, bool keep) {
    qsr::NetworkSpec network;
    if (isa < 0 || isa > 2) throw py::value_error("isa: expected 0, 1 or 2");
    const qsr::Isa limit = static_cast<qsr::Isa>(isa);
    for (const py::handle& each : maps) {
      const py::tuple map = each.cast<py::tuple>();
      network.maps.push_back({format_of(map[0].cast<std::string>()), map[1].cast<int>(), map[2].cast<int>(), map[3].cast<int>()});
    }
    for (const py::handle& each : stages) network.stages.push_back(stage_of(each.cast<py::dict>(), limit));
    for (const py::handle& each : segments) network.segments.push_back(each.cast<int>());
    network.scale = scale;
    network.slots = slots;
    qsr::Status status;
    {
      py::gil_scoped_release unlocked;
      status = qsr::Engine::make(std::move(network), limit, threads, keep, &engine_);
    }
    qsr::raise_if_failed(status);
  }

  py::array run(const py::array& picture, bool as_bytes) const {
    py::array out = result(picture, as_bytes);
    execute(picture, &out, nullptr, nullptr);
    return out;
  }

  size_t memory(int height, int width) const {
    size_t bytes = 0;
    qsr::raise_if_failed(engine_->memory(height, width, &bytes));
    return bytes;
  }

  // (map, array) of every map that exists as a whole; codes as they lie in memory.
  py::list trace(const py::array& picture) const {
    struct Found {
      const qsr::Engine* engine;
      int height, width;
      std::vector<std::vector<uint8_t>> maps;
    } found{engine_.get(), static_cast<int>(picture.shape(0)), static_cast<int>(picture.shape(1)), {}};
    const auto& graph = engine_->graph();
    found.maps.resize(graph.maps.size());
    py::array out = result(picture, true);
    execute(
        picture, &out, nullptr,
        [](void* context, int map, const uint8_t* first, size_t row_bytes) {
          Found& to = *static_cast<Found*>(context);
          const qsr::MapSpec& spec = to.engine->graph().maps[static_cast<size_t>(map)];
          const size_t row = pixel(spec) * static_cast<size_t>(to.width * spec.factor);
          auto& bytes = to.maps[static_cast<size_t>(map)];
          bytes.resize(row * static_cast<size_t>(to.height * spec.factor));
          for (int y = 0; y < to.height * spec.factor; ++y) std::memcpy(bytes.data() + row * static_cast<size_t>(y), first + row_bytes * static_cast<size_t>(y), row);
        },
        &found);
    py::list made;
    for (size_t m = 0; m < graph.maps.size(); ++m) {
      if (found.maps[m].empty()) continue;
      const qsr::MapSpec& spec = graph.maps[m];
      const py::ssize_t h = found.height * spec.factor, w = found.width * spec.factor, p = static_cast<py::ssize_t>(pixel(spec));
      py::array array = spec.format == qsr::Input::kFloat ? py::array(py::array_t<float>({h, w, p / 4})) : py::array(py::array_t<uint8_t>({h, w, p}));
      std::memcpy(array.mutable_data(), found.maps[m].data(), found.maps[m].size());
      made.append(py::make_tuple(m, array));
    }
    return made;
  }

  // One (steps, seconds in kernels, seconds) per stage, over all threads and `repeat` runs.
  py::list profile(const py::array& picture, int repeat) const {
    std::vector<qsr::StageTime> times(engine_->graph().stages.size());
    py::array out = result(picture, true);
    for (int i = 0; i < repeat; ++i) execute(picture, &out, times.data(), nullptr);
    py::list made;
    for (const qsr::StageTime& time : times) made.append(py::make_tuple(time.steps, time.sums, time.total));
    return made;
  }

  // Per stage what runs it: the kernel's name and instruction set; empty strings where no kernel is chosen.
  py::list stages() const {
    py::list made;
    for (const qsr::Stage& stage : engine_->graph().stages) {
      const char* isa = qsr::isa_name(engine_->limit());
      if (stage.kernel) {
        made.append(py::make_tuple(stage.kernel->name, qsr::isa_name(stage.kernel->isa), stage.kernel->tile_rows));
      } else {
        made.append(py::make_tuple(stage.spec.swin ? stage.spec.swin->kernel() : "", isa, 1));
      }
    }
    return made;
  }

  int threads() const { return engine_->threads(); }

 private:
  static size_t pixel(const qsr::MapSpec& map) {
    const size_t c = static_cast<size_t>(map.channels);
    return map.format == qsr::Input::kBits ? qsr::round_up(c, 32) / 8 : map.format == qsr::Input::kBytes ? qsr::round_up(c, 32) : 4 * c;
  }

  py::array result(const py::array& picture, bool as_bytes) const {
    const bool good = (picture.dtype().is(py::dtype::of<uint8_t>()) || picture.dtype().is(py::dtype::of<float>())) && picture.ndim() == 3 &&
                      picture.shape(2) == 3 && (picture.flags() & py::array::c_style);
    if (!good) throw py::type_error("picture: expected uint8 or float32 of (height, width, 3), C-contiguous");
    if (picture.shape(0) > (1 << 24) || picture.shape(1) > (1 << 24)) throw py::value_error("picture: too large");
    const py::ssize_t scale = engine_->graph().scale, h = scale * picture.shape(0), w = scale * picture.shape(1);
    if (as_bytes) return py::array_t<uint8_t>({h, w, py::ssize_t{3}});
    return py::array_t<float>({h, w, py::ssize_t{3}});
  }

  void execute(const py::array& picture, py::array* out, qsr::StageTime* times, void (*visit)(void*, int, const uint8_t*, size_t), void* context = nullptr) const {
    qsr::Job job;
    job.picture = picture.data();
    job.bytes_in = picture.itemsize() == 1;
    job.height = static_cast<int>(picture.shape(0));
    job.width = static_cast<int>(picture.shape(1));
    job.out = out->mutable_data();
    job.bytes_out = out->itemsize() == 1;
    job.times = times;
    job.visit = visit;
    job.context = context;
    qsr::Status status;
    {
      py::gil_scoped_release unlocked;
      status = engine_->run(job);
    }
    qsr::raise_if_failed(status);
  }

  std::unique_ptr<qsr::Engine> engine_;
};

}  // namespace

void define_engine(py::module_& module) {
  py::class_<Engine>(module, "Engine", "A network that runs; see qsr/runtime/engine.py.")
      .def(py::init<const py::list&, const py::list&, const py::list&, int, int, int, int, bool>(), py::arg("maps"), py::arg("stages"), py::arg("segments"),
           py::arg("scale"), py::arg("slots"), py::arg("isa"), py::arg("threads"), py::arg("keep") = false)
      .def("run", &Engine::run, py::arg("picture"), py::arg("as_bytes"))
      .def("memory", &Engine::memory, py::arg("height"), py::arg("width"))
      .def("trace", &Engine::trace, py::arg("picture"))
      .def("profile", &Engine::profile, py::arg("picture"), py::arg("repeat"))
      .def("stages", &Engine::stages)
      .def_property_readonly("threads", &Engine::threads);
  module.def("available_cores", &qsr::available_cores, "Cores that this process may use.");
}
