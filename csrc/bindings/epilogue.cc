// The epilogue for tests and benchmarks: sums of some pixels in, floats and codes out.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "kernels/epilogue.h"

namespace py = pybind11;

namespace {

template <typename T>
using Array = py::array_t<T, py::array::c_style>;

struct Free {
  void operator()(void* data) const { std::free(data); }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;

template <typename T>
Owned<T> zeros(size_t count) {
  const size_t bytes = qsr::round_up(std::max<size_t>(count, 1) * sizeof(T), 64);
  Owned<T> data(static_cast<T*>(std::aligned_alloc(64, bytes)));
  if (!data) throw std::bad_alloc();
  std::memset(static_cast<void*>(data.get()), 0, bytes);
  return data;
}

qsr::Isa isa_of(const std::string& name) {
  for (qsr::Isa isa : {qsr::Isa::kPortable, qsr::Isa::kAvx2, qsr::Isa::kAvx512}) {
    if (name == qsr::isa_name(isa) && qsr::isa_supported(isa)) return isa;
  }
  throw py::value_error("no instruction set of this machine is called " + name);
}

// A vector, or rows of vectors, of `channels` floats padded to a multiple of 16; nullptr for None.
class Vectors {
 public:
  const float* padded(const py::dict& options, const char* key, size_t rows, size_t channels) {
    if (!options.contains(key) || options[key].is_none()) return nullptr;
    const auto source = options[key].cast<Array<float>>();
    if (static_cast<size_t>(source.size()) != rows * channels) throw py::value_error(std::string(key) + ": wrong size");
    const size_t stride = qsr::round_up(channels, 16);
    owned_.push_back(zeros<float>(rows * stride));
    for (size_t r = 0; r < rows; ++r) std::copy_n(source.data() + r * channels, channels, owned_.back().get() + r * stride);
    return owned_.back().get();
  }

 private:
  std::vector<Owned<float>> owned_;
};

py::dict run(const std::string& isa, const py::array& sums, const py::dict& options, int repeat) {
  const bool from_float = py::isinstance<Array<float>>(sums);
  if (sums.ndim() != 3 || sums.size() == 0 || !(from_float || py::isinstance<Array<int32_t>>(sums))) {
    throw py::value_error("sums: expected (planes, pixels, channels) float32 or int32");
  }
  const size_t planes = static_cast<size_t>(sums.shape(0)), pixels = static_cast<size_t>(sums.shape(1));
  const size_t channels = static_cast<size_t>(sums.shape(2)), padded = qsr::round_up(channels, 16);
  const auto run_isa = qsr::epilogue_for(isa_of(isa));

  qsr::Epilogue e;
  qsr::EpilogueCall call;
  Vectors vectors;
  e.channels = static_cast<int>(channels);
  e.planes = static_cast<int>(planes);
  e.from_float = from_float;
  e.scale = vectors.padded(options, "scale", planes, channels);
  e.bias = vectors.padded(options, "bias", 1, channels);
  e.slope = vectors.padded(options, "slope", 1, channels);
  e.after = vectors.padded(options, "after", 1, channels);
  if (planes > 3 || (!from_float && !e.scale)) throw py::value_error("expected at most 3 planes, and scales for integers");

  const bool gapless = options.contains("gapless") && options["gapless"].cast<bool>();
  const size_t stride = gapless ? channels : padded;
  const Owned<uint32_t> acc = zeros<uint32_t>(planes * pixels * stride + padded);
  std::fill_n(acc.get(), planes * pixels * stride + padded, 0xf149f2cau);  // what lies behind the channels may be anything: -1e30 here
  for (size_t i = 0; i < planes * pixels; ++i) {
    std::memcpy(acc.get() + i * stride, static_cast<const uint32_t*>(sums.data()) + i * channels, 4 * channels);
  }
  call.acc = acc.get();
  call.acc_stride = stride;
  call.plane_stride = pixels * stride;
  call.pixels = static_cast<int>(pixels);

  py::dict found;
  Array<float> residual, out;
  if (options.contains("residual") && !options["residual"].is_none()) {
    residual = options["residual"].cast<Array<float>>();
    if (static_cast<size_t>(residual.size()) != pixels * channels) throw py::value_error("residual: wrong size");
    call.residual = residual.data();
    call.residual_stride = channels;
  }
  if (options.contains("out") && options["out"].cast<bool>()) {
    out = Array<float>({pixels, channels});
    call.out = out.mutable_data();
    call.out_stride = channels;
    found["out"] = out;
  }
  py::list codes;
  const py::list sinks = options.contains("sinks") ? options["sinks"].cast<py::list>() : py::list();
  if (sinks.size() > 2) throw py::value_error("at most two sinks");
  for (const py::handle& item : sinks) {
    const auto options_of = item.cast<py::dict>();
    qsr::CodeSink& sink = e.sink[e.sinks];
    sink.kind = options_of["kind"].cast<std::string>() == "bits" ? qsr::Input::kBits : qsr::Input::kBytes;
    sink.shift = vectors.padded(options_of, "shift", 1, channels);
    if (sink.kind == qsr::Input::kBytes) {
      sink.inv_step = options_of["inv_step"].cast<float>();
      sink.lowest = options_of["lowest"].cast<int>();
      sink.highest = options_of["highest"].cast<int>();
      sink.zero = options_of["zero"].cast<int>();
    }
    const size_t bytes = qsr::round_up(channels, 32) / (sink.kind == qsr::Input::kBits ? 8 : 1);
    Array<uint8_t> target({pixels, bytes});
    std::fill_n(target.mutable_data(), pixels * bytes, uint8_t{0xa5});
    call.codes[e.sinks] = target.mutable_data();
    call.codes_stride[e.sinks] = bytes;
    codes.append(target);
    e.sinks += 1;
  }
  found["codes"] = codes;

  const Owned<int32_t> threshold = zeros<int32_t>(padded);
  const Owned<uint32_t> flip = zeros<uint32_t>(qsr::round_up(channels, 32) / 32);
  if (options.contains("thresholds") && options["thresholds"].cast<bool>()) {
    if (!qsr::make_thresholds(e, threshold.get(), flip.get())) throw py::value_error("no thresholds for this epilogue");
    e.threshold = threshold.get();
    e.flip = flip.get();
  }
  double seconds = 1e9;
  {
    py::gil_scoped_release unlocked;
    for (int i = 0; i < std::max(repeat, 1); ++i) {
      const auto start = std::chrono::steady_clock::now();
      run_isa(e, call);
      seconds = std::min(seconds, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
  }
  found["seconds"] = seconds;
  return found;
}

}  // namespace

void define_epilogue(py::module_& module) {
  module.def("run_epilogue", &run, py::arg("isa"), py::arg("sums"), py::arg("options"), py::arg("repeat") = 1,
             "Epilogue of one instruction set over sums (planes, pixels, channels) int32 or float32. options: scale (planes, channels), "
             "bias, slope, after (channels), residual (pixels, channels), out, thresholds, gapless (bool; sums of pixels side by side), sinks [{kind: bits | bytes, shift, "
             "inv_step, lowest, highest, zero}] -> {out, codes: [uint8 (pixels, bytes)], seconds}.");
}
