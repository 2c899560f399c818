// Single row kernels for tests and benchmarks: their list, and one of them over a picture.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <string>

#include "bindings/raise.h"
#include "kernels/conv_picture.h"
#include "kernels/peak.h"

namespace py = pybind11;

namespace {

template <typename T>
using Array = py::array_t<T, py::array::c_style>;

const char* input_name(qsr::Input input) {
  return input == qsr::Input::kBits ? "bits" : input == qsr::Input::kBytes ? "bytes" : "float";
}

py::list list_kernels(bool depthwise) {
  size_t count = 0;
  const qsr::RowKernel* const* kernels = qsr::row_kernels(&count);
  py::list found;
  for (size_t i = 0; i < count; ++i) {
    if (kernels[i]->depthwise != depthwise) continue;
    py::dict entry;
    entry["name"] = kernels[i]->name;
    entry["isa"] = qsr::isa_name(kernels[i]->isa);
    entry["input"] = input_name(kernels[i]->input);
    entry["tile_rows"] = kernels[i]->tile_rows;
    entry["supported"] = qsr::isa_supported(kernels[i]->isa);
    found.append(entry);
  }
  return found;
}

py::dict peak(const std::string& name, double milliseconds) {
  for (qsr::Isa isa : {qsr::Isa::kPortable, qsr::Isa::kAvx2, qsr::Isa::kAvx512}) {
    if (name != qsr::isa_name(isa)) continue;
    qsr::Peak found;
    {
      py::gil_scoped_release unlocked;
      found = qsr::measure_peak(isa, milliseconds);
    }
    return py::dict(py::arg("float") = found.float_macs, py::arg("bytes") = found.byte_macs, py::arg("bits") = found.bit_macs);
  }
  throw py::value_error("no instruction set is called " + name);
}

const qsr::RowKernel* find(const std::string& name) {
  size_t count = 0;
  const qsr::RowKernel* const* kernels = qsr::row_kernels(&count);
  for (size_t i = 0; i < count; ++i) {
    if (name == kernels[i]->name) return kernels[i];
  }
  throw py::value_error("no row kernel is called " + name);
}

template <typename T, typename Sum>
qsr::RowConv shape_of(const qsr::RowKernel& kernel, const Array<T>& a, const Array<T>& w, py::tuple ranges) {
  const py::ssize_t inputs = kernel.depthwise ? 1 : a.ndim() == 3 ? a.shape(2) : 0;
  if (a.ndim() != 3 || w.ndim() != 4 || inputs != w.shape(1) || (kernel.depthwise && a.shape(2) != w.shape(0)) || a.size() == 0 || w.size() == 0) {
    throw py::value_error("expected (H, W, C) and (O, C, kh, kw), depthwise (C, 1, kh, kw), not empty");
  }
  qsr::RowConv conv;
  conv.input = kernel.input;
  conv.c_in = static_cast<int>(a.shape(2));
  conv.depthwise = kernel.depthwise;
  conv.c_out = static_cast<int>(w.shape(0));
  conv.kh = static_cast<int>(w.shape(2));
  conv.kw = static_cast<int>(w.shape(3));
  if (ranges.size() == 4) {
    conv.a_min = ranges[0].cast<int>();
    conv.a_max = ranges[1].cast<int>();
    conv.w_min = ranges[2].cast<int>();
    conv.w_max = ranges[3].cast<int>();
  }
  return conv;
}

template <typename T, typename Sum>
py::tuple run(const std::string& name, const Array<T>& a, const Array<T>& w, py::tuple ranges, int repeat) {
  const qsr::RowKernel* kernel = find(name);
  if ((kernel->input == qsr::Input::kFloat) != (sizeof(T) == 4)) throw py::value_error(name + ": float32 or int16 arrays, as its input is");
  const qsr::RowConv conv = shape_of<T, Sum>(*kernel, a, w, ranges);
  py::array_t<Sum> out({a.shape(0), a.shape(1), w.shape(0)});
  const T* activations = a.data();
  const T* weights = w.data();
  Sum* target = out.mutable_data();
  const int height = static_cast<int>(a.shape(0)), width = static_cast<int>(a.shape(1));
  double seconds = 0;
  qsr::Status status;
  {
    py::gil_scoped_release unlocked;
    status = qsr::conv_picture(*kernel, conv, activations, weights, height, width, repeat, target, &seconds);
  }
  qsr::raise_if_failed(status);
  return py::make_tuple(out, seconds);
}

template <typename T, typename Sum>
bool accepts(const std::string& name, const Array<T>& a, const Array<T>& w, py::tuple ranges) {
  const qsr::RowKernel* kernel = find(name);
  const qsr::RowConv conv = shape_of<T, Sum>(*kernel, a, w, ranges);
  return qsr::check_row_conv(conv).ok() && kernel->fits(conv);
}

}  // namespace

void define_rows(py::module_& module) {
  module.def("row_kernels", [] { return list_kernels(false); },
             "Every row kernel but those of depthwise_kernels: name, isa, input, tile_rows, supported (on this machine); best first.");
  module.def("depthwise_kernels", [] { return list_kernels(true); }, "The row kernels of depthwise convolutions, as row_kernels lists its own.");
  module.def("isa_supported", [] {
    py::dict found;
    for (qsr::Isa isa : {qsr::Isa::kPortable, qsr::Isa::kAvx2, qsr::Isa::kAvx512}) found[qsr::isa_name(isa)] = qsr::isa_supported(isa);
    return found;
  });
  module.def("measure_peak", &peak, py::arg("isa"), py::arg("milliseconds") = 20.0,
             "MACs per second of one core with the inner instructions of each input: float, bytes, bits; 0 where there are none.");
  const char* doc =
      "One row kernel over a zero-padded picture: (H, W, C) codes int16 or float32, (O, C, kh, kw) of the same dtype (depthwise "
      "kernels: (C, 1, kh, kw)), ranges "
      "(a_min, a_max, w_min, w_max) of codes, () for float -> (sums (H, W, O) int32 or float32, fastest seconds of `repeat` runs).";
  module.def("run_row_kernel", &run<int16_t, int32_t>, py::arg("name"), py::arg("codes").noconvert(), py::arg("weights").noconvert(),
             py::arg("ranges"), py::arg("repeat") = 1, doc);
  module.def("run_row_kernel", &run<float, float>, py::arg("name"), py::arg("codes").noconvert(), py::arg("weights").noconvert(),
             py::arg("ranges") = py::tuple(), py::arg("repeat") = 1, doc);
  module.def("row_kernel_accepts", &accepts<int16_t, int32_t>, py::arg("name"), py::arg("codes").noconvert(), py::arg("weights").noconvert(),
             py::arg("ranges"));
  module.def("row_kernel_accepts", &accepts<float, float>, py::arg("name"), py::arg("codes").noconvert(), py::arg("weights").noconvert(),
             py::arg("ranges") = py::tuple());
}
