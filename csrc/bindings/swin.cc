// One fused Swin layer, for tests and benchmarks.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "bindings/raise.h"
#include "bindings/swin.h"
#include "kernels/swin.h"
#include "kernels/swin_parts.h"

namespace py = pybind11;

namespace {

template <typename T>
using Array = py::array_t<T, py::array::c_style>;

// Reads dictionaries; keeps the arrays that specs point into alive.
class Reader {
 public:
  template <typename T>
  const T* data(const py::dict& from, const char* key, py::ssize_t count) {
    if (!from.contains(key)) return nullptr;
    if (!py::isinstance<Array<T>>(from[key])) throw py::type_error(std::string(key) + ": another dtype, or not contiguous");
    const auto array = py::cast<Array<T>>(from[key]);
    if (array.size() != count) throw py::value_error(std::string(key) + ": expected " + std::to_string(count) + " numbers");
    kept_.push_back(array);
    return array.data();
  }

  qsr::ActSpec act(const py::dict& from, int channels) {
    using Act = qsr::ActSpec;
    Act act;
    const std::string kind = get<std::string>(from, "kind", "none");
    act.kind = kind == "uniform"   ? Act::Kind::kUniform
               : kind == "sign"    ? Act::Kind::kSign
               : kind == "elastic" ? Act::Kind::kElastic
                                   : Act::Kind::kNone;
    act.lowest = get(from, "lowest", 0);
    act.highest = get(from, "highest", 0);
    act.step = get(from, "step", 1.0f);
    act.offset = get(from, "offset", 0.0f);
    act.scale = get(from, "scale", 1.0f);
    act.shift = data<float>(from, "shift", channels);
    act.scales = data<float>(from, "scales", channels);
    act.scaling = act.scales != nullptr ? Act::Scale::kChannels : get(from, "mean", false) ? Act::Scale::kMean : Act::Scale::kNumber;
    return act;
  }

  qsr::LinearSpec linear(const py::dict& from) {
    using Weight = qsr::LinearSpec::Weight;
    qsr::LinearSpec l;
    const py::array weight = py::cast<py::array>(from["weight"]);
    const bool planes = py::isinstance<Array<int8_t>>(weight);
    if (weight.ndim() != (planes ? 3 : 2)) throw py::value_error("weight: expected (c_out, c_in), of signs (planes, c_out, c_in)");
    l.c_out = static_cast<int>(weight.shape(planes ? 1 : 0));
    l.c_in = static_cast<int>(weight.shape(planes ? 2 : 1));
    l.weight = planes ? Weight::kSign : py::isinstance<Array<int16_t>>(weight) ? Weight::kUniform : Weight::kFloat;
    l.planes = planes ? static_cast<int>(weight.shape(0)) : 1;
    if (l.planes > qsr::kMaxSwinPlanes) throw py::value_error("weight: too many planes");
    if (l.weight == Weight::kFloat) l.dense = data<float>(from, "weight", weight.size());
    if (l.weight == Weight::kUniform) l.codes = data<int16_t>(from, "weight", weight.size());
    const int8_t* signs = planes ? data<int8_t>(from, "weight", weight.size()) : nullptr;
    const float* scale = data<float>(from, "scale", static_cast<py::ssize_t>(l.planes) * l.c_out);
    for (int p = 0; p < l.planes; ++p) {
      if (signs != nullptr) l.signs[p] = signs + static_cast<py::ssize_t>(p) * l.c_out * l.c_in;
      if (scale != nullptr) l.scale[p] = scale + static_cast<py::ssize_t>(p) * l.c_out;
    }
    l.bias = data<float>(from, "bias", l.c_out);
    l.act = act(dict(from, "act"), l.c_in);
    return l;
  }

  template <typename T>
  static T get(const py::dict& from, const char* key, T otherwise) {
    return from.contains(key) ? from[key].cast<T>() : otherwise;
  }
  static py::dict dict(const py::dict& from, const char* key) { return from.contains(key) ? from[key].cast<py::dict>() : py::dict(); }

 private:
  std::vector<py::object> kept_;
};

qsr::Isa isa_called(const std::string& name) {
  for (qsr::Isa isa : {qsr::Isa::kPortable, qsr::Isa::kAvx2, qsr::Isa::kAvx512}) {
    if (name == qsr::isa_name(isa)) return isa;
  }
  throw py::value_error("no instruction set is called " + name);
}

std::unique_ptr<qsr::SwinLayer> make(const py::dict& from, const std::string& isa) {
  Reader reader;
  qsr::SwinSpec spec;
  spec.channels = from["channels"].cast<int>();
  spec.window = from["window"].cast<int>();
  spec.shift = Reader::get(from, "shift", 0);
  spec.heads = from["heads"].cast<int>();
  spec.eps = Reader::get(from, "eps", 1e-5f);
  spec.proj_skip = Reader::get(from, "proj_skip", false);
  spec.gain1 = Reader::get(from, "gain1", 1.0f);
  spec.gain2 = Reader::get(from, "gain2", 1.0f);
  const int side = 2 * spec.window - 1;
  spec.table = reader.data<float>(from, "table", static_cast<py::ssize_t>(side) * side * spec.heads);
  spec.norm1_weight = reader.data<float>(from, "norm1_weight", spec.channels);
  spec.norm1_bias = reader.data<float>(from, "norm1_bias", spec.channels);
  spec.norm2_weight = reader.data<float>(from, "norm2_weight", spec.channels);
  spec.norm2_bias = reader.data<float>(from, "norm2_bias", spec.channels);
  spec.qkv = reader.linear(from["qkv"].cast<py::dict>());
  spec.proj = reader.linear(from["proj"].cast<py::dict>());
  spec.fc1 = reader.linear(from["fc1"].cast<py::dict>());
  spec.fc2 = reader.linear(from["fc2"].cast<py::dict>());
  qsr::SwinOperands operands;
  if (from.contains("operands")) {
    const py::dict said = from["operands"].cast<py::dict>();
    operands.q = reader.act(Reader::dict(said, "q"), spec.channels);
    operands.k = reader.act(Reader::dict(said, "k"), spec.channels);
    operands.v = reader.act(Reader::dict(said, "v"), spec.channels);
    operands.map = reader.act(Reader::dict(said, "map"), spec.heads);
    spec.operands = &operands;
  }
  std::unique_ptr<qsr::SwinLayer> layer;
  qsr::raise_if_failed(qsr::SwinLayer::make(spec, isa_called(isa), &layer));
  return layer;
}

// Windows first..last - 1 in place; last -1: to the end. Returns the seconds.
double run(const qsr::SwinLayer& layer, Array<float> map, int window, int channels, int first, int last) {
  if (map.ndim() != 3 || map.shape(2) != channels || map.shape(0) % window != 0 || map.shape(1) % window != 0) {
    throw py::value_error("expected (h, w, channels), h and w multiples of the window");
  }
  const int h = static_cast<int>(map.shape(0)), w = static_cast<int>(map.shape(1)), all = layer.windows(h, w);
  if (last < 0) last = all;
  if (first < 0 || last > all) throw py::value_error("no such windows");
  float* data = map.mutable_data();
  py::gil_scoped_release unlocked;
  void* scratch = ::operator new(layer.scratch_bytes(), std::align_val_t{64});
  const auto start = std::chrono::steady_clock::now();
  layer.run(data, h, w, first, last, scratch);
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
  ::operator delete(scratch, std::align_val_t{64});
  return taken.count();
}

// exp2 or gelu of each number, as the layers compute them.
template <void (*qsr::SwinCode::*function)(float*, size_t) noexcept>
py::array_t<float> each(const Array<float>& x, const std::string& isa) {
  qsr::Isa used;
  const qsr::SwinCode& code = qsr::swin_code(isa_called(isa), &used);
  const size_t count = static_cast<size_t>(x.size());
  std::vector<float> padded((count + 15) / 16 * 16);
  std::copy(x.data(), x.data() + count, padded.begin());
  (code.*function)(padded.data(), padded.size());
  py::array_t<float> out(x.size());
  std::copy(padded.begin(), padded.begin() + static_cast<py::ssize_t>(count), out.mutable_data());
  return out;
}

struct Layer {
  std::unique_ptr<qsr::SwinLayer> layer;
  int window, channels;
};

}  // namespace

std::shared_ptr<qsr::SwinLayer> swin_layer(const py::dict& from, qsr::Isa limit) { return make(from, qsr::isa_name(limit)); }

void define_swin(py::module_& module) {
  py::class_<Layer>(module, "SwinLayer", "One fused Swin layer; made from a dictionary with the fields of swin.h's SwinSpec.")
      .def(py::init([](const py::dict& spec, const std::string& isa) {
             return Layer{make(spec, isa), spec["window"].cast<int>(), spec["channels"].cast<int>()};
           }),
           py::arg("spec"), py::arg("isa"))
      .def_property_readonly("kernel", [](const Layer& l) { return l.layer->kernel(); })
      .def_property_readonly("scratch_bytes", [](const Layer& l) { return l.layer->scratch_bytes(); })
      .def("windows", [](const Layer& l, int h, int w) { return l.layer->windows(h, w); })
      .def("run",
           [](const Layer& l, Array<float> map, int first, int last) { return run(*l.layer, map, l.window, l.channels, first, last); },
           py::arg("map").noconvert(), py::arg("first") = 0, py::arg("last") = -1,
           "Windows first..last - 1 of the float32 map (h, w, channels), in place -> seconds.");
  module.def("swin_exp2", &each<&qsr::SwinCode::exp2>, py::arg("x").noconvert(), py::arg("isa"),
             "2^x of each float32, as the Swin layers compute it.");
  module.def("swin_gelu", &each<&qsr::SwinCode::gelu>, py::arg("x").noconvert(), py::arg("isa"),
             "GELU of each float32, as the Swin layers compute it.");
}
