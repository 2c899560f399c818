// qsr._kernels: the only file that knows Python. Checks dtypes and layout, releases the GIL, turns a Status into an exception.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>

#include "base/status.h"
#include "bindings/raise.h"
#include "kernels/bitpack.h"
#include "kernels/reference.h"

namespace py = pybind11;

namespace {

template <typename T>
using Array = py::array_t<T, py::array::c_style>;

using qsr::raise_if_failed;

py::array_t<uint8_t> pack_bits(const Array<int16_t>& codes, int bits, bool is_signed) {
  int64_t bytes = 0;
  raise_if_failed(qsr::packed_size(codes.size(), bits, &bytes));
  py::array_t<uint8_t> data(bytes);
  const int16_t* source = codes.data();
  uint8_t* target = data.mutable_data();
  const int64_t count = codes.size();
  qsr::Status status;
  {
    py::gil_scoped_release unlocked;
    status = qsr::pack_bits(source, count, bits, is_signed, target);
  }
  raise_if_failed(status);
  return data;
}

py::array_t<int16_t> unpack_bits(const Array<uint8_t>& data, int64_t count, int bits, bool is_signed) {
  int64_t expected = 0;
  raise_if_failed(qsr::packed_size(count, bits, &expected));
  if (expected != data.size()) {  // before `count` elements are allocated: a forged count must not cost memory
    raise_if_failed(qsr::unpack_bits(data.data(), data.size(), count, bits, is_signed, nullptr));
  }
  py::array_t<int16_t> codes(count);
  const uint8_t* source = data.data();
  int16_t* target = codes.mutable_data();
  const int64_t bytes = data.size();
  qsr::Status status;
  {
    py::gil_scoped_release unlocked;
    status = qsr::unpack_bits(source, bytes, count, bits, is_signed, target);
  }
  raise_if_failed(status);
  return codes;
}

template <typename Activation, typename Weight>
py::array_t<int32_t> conv2d(const Array<Activation>& activations, const Array<Weight>& weights, int64_t stride,
                            int64_t padding) {
  if (activations.ndim() != 4 || weights.ndim() != 4) throw py::value_error("expected (N, C, H, W) and (O, C, kh, kw)");
  if (activations.shape(1) != weights.shape(1)) throw py::value_error("activations and weights differ in channels");
  const qsr::ConvShape shape{activations.shape(0), activations.shape(1), activations.shape(2), activations.shape(3),
                             weights.shape(0),     weights.shape(2),     weights.shape(3),     stride,
                             padding};
  raise_if_failed(qsr::check_shape(shape));
  py::array_t<int32_t> out({shape.batch, shape.out_channels, shape.out_height(), shape.out_width()});
  const Activation* a = activations.data();
  const Weight* w = weights.data();
  int32_t* target = out.mutable_data();
  qsr::Status status;
  {
    py::gil_scoped_release unlocked;
    status = qsr::conv2d(shape, a, w, target);
  }
  raise_if_failed(status);
  return out;
}

// noconvert: an array of another dtype or layout is a TypeError, never a silent copy with other numbers
template <typename Activation, typename Weight>
void define_conv2d(py::module_& module) {
  module.def("conv2d", &conv2d<Activation, Weight>, py::arg("codes").noconvert(), py::arg("weights").noconvert(),
             py::arg("stride"), py::arg("padding"),
             "Exact integer convolution, (N, C, H, W) x (O, C, kh, kw) -> int32 (N, O, H', W').");
}

}  // namespace

void define_rows(py::module_& module);  // rows.cc
void define_engine(py::module_& module);  // engine.cc
void define_swin(py::module_& module);  // swin.cc
void define_picture(py::module_& module);  // picture.cc
void define_epilogue(py::module_& module);  // epilogue.cc

PYBIND11_MODULE(_kernels, module) {
  module.doc() = "Compiled kernels of qsr; use qsr.runtime, which checks arguments and has the fallbacks.";
  module.def("pack_bits", &pack_bits, py::arg("codes").noconvert(), py::arg("bits"), py::arg("is_signed"),
             "int16 codes -> uint8 stream in the canonical layout.");
  module.def("unpack_bits", &unpack_bits, py::arg("data").noconvert(), py::arg("count"), py::arg("bits"), py::arg("is_signed"),
             "uint8 stream -> int16 codes.");
  define_conv2d<int8_t, int8_t>(module);
  define_conv2d<int8_t, uint8_t>(module);
  define_conv2d<uint8_t, int8_t>(module);
  define_conv2d<uint8_t, uint8_t>(module);
  define_rows(module);
  define_engine(module);
  define_swin(module);
  define_picture(module);
  define_epilogue(module);
}
