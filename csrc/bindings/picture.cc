// Rows of pictures for tests: whole pictures through the row functions of picture.h.
#include "kernels/picture.h"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "bindings/raise.h"

namespace py = pybind11;

namespace {

template <typename T>
using Array = py::array_t<T, py::array::c_style>;

constexpr int kChannels = qsr::kPictureChannels;

const qsr::PictureKernels& kernels_of(const std::string& isa) {
  for (qsr::Isa each : {qsr::Isa::kPortable, qsr::Isa::kAvx2, qsr::Isa::kAvx512}) {
    if (isa != qsr::isa_name(each)) continue;
    const qsr::PictureKernels& kernels = qsr::picture_kernels(each);
    if (kernels.isa == each) return kernels;
    throw py::value_error("this machine does not run " + isa);
  }
  throw py::value_error("no instruction set is called " + isa);
}

template <typename T>
void check_picture(const Array<T>& picture) {
  if (picture.ndim() != 3 || picture.shape(2) != kChannels || picture.size() == 0) throw py::value_error("expected (H, W, 3), not empty");
}

const float* per_channel(const std::optional<Array<float>>& vector) {
  if (vector && vector->size() != kChannels) throw py::value_error("expected 3 numbers");
  return vector ? vector->data() : nullptr;
}

template <typename T>
py::array_t<float> begin(const Array<T>& picture, const std::optional<Array<float>>& scale, const std::optional<Array<float>>& offset) {
  check_picture(picture);
  py::array_t<float> out({picture.shape(0), picture.shape(1), picture.shape(2)});
  const int width = static_cast<int>(picture.shape(1));
  qsr::ByteValues values;
  qsr::byte_values(per_channel(scale), per_channel(offset), &values);
  for (py::ssize_t y = 0; y < picture.shape(0); ++y) {
    if constexpr (sizeof(T) == 1) {
      qsr::picture_row(picture.data(y), width, values, out.mutable_data(y));
    } else {
      qsr::picture_row(picture.data(y), width, per_channel(scale), per_channel(offset), out.mutable_data(y));
    }
  }
  return out;
}

// (h, w, 3) -> both rows of every line, enlarged across, with slack; and the taps along columns
struct Enlarged {
  Enlarged(const qsr::PictureKernels& kernels, const Array<float>& picture, int factor)
      : down(static_cast<size_t>(picture.shape(0) * factor)),
        row(static_cast<size_t>(picture.shape(1) * factor * kChannels)),
        data(static_cast<size_t>(picture.shape(0)) * row + 1) {
    const int width = static_cast<int>(picture.shape(1));
    std::vector<qsr::BilinearTap> across(static_cast<size_t>(width * factor));
    std::vector<float> line(static_cast<size_t>(width * kChannels) + 1);
    qsr::bilinear_taps(width, factor, across.data());
    qsr::bilinear_taps(static_cast<int>(picture.shape(0)), factor, down.data());
    for (py::ssize_t y = 0; y < picture.shape(0); ++y) {
      std::copy_n(picture.data(y), width * kChannels, line.data());
      kernels.enlarge_row(line.data(), across.data(), width * factor, data.data() + static_cast<size_t>(y) * row);
    }
  }
  const float* at(int y) const { return data.data() + static_cast<size_t>(y) * row; }

  std::vector<qsr::BilinearTap> down;
  size_t row;
  std::vector<float> data;
};

template <typename Out>
py::tuple finish(const std::string& isa, const Array<float>& values, int factor, const std::optional<Array<float>>& bias,
                 const std::optional<Array<float>>& base, int enlargement, int repeat) {
  const qsr::PictureKernels& kernels = kernels_of(isa);
  const auto valid = [](int n) { return n >= 1 && n <= qsr::kMaxEnlargement; };
  if (values.ndim() != 3 || values.size() == 0 || !valid(factor) || !valid(enlargement)) {
    throw py::value_error("expected (H, W, stride), factors 1..8");
  }
  const int height = static_cast<int>(values.shape(0)), width = static_cast<int>(values.shape(1));
  if (values.shape(2) < kChannels * factor * factor) throw py::value_error("a pixel has too few values");
  if (bias && bias->size() != kChannels * factor * factor) throw py::value_error("expected one bias per value");
  std::optional<Enlarged> enlarged;
  if (base) {
    check_picture(*base);
    if (base->shape(0) * enlargement != height * factor || base->shape(1) * enlargement != width * factor) {
      throw py::value_error("the base has another size");
    }
    enlarged.emplace(kernels, *base, enlargement);
  }
  std::vector<float> padded(values.data(), values.data() + values.size());
  padded.resize(padded.size() + 4);
  py::array_t<Out> out({height * factor, width * factor, kChannels});
  qsr::PictureEnd end;
  end.stride = static_cast<size_t>(values.shape(2));
  end.pixels = width;
  end.factor = factor;
  end.bias = bias ? bias->data() : nullptr;
  double seconds = 1e9;
  for (int run = 0; run < std::max(repeat, 1); ++run) {
    const auto start = std::chrono::steady_clock::now();
    for (int y = 0; y < height * factor; ++y) {
      end.values = padded.data() + static_cast<size_t>(y / factor) * static_cast<size_t>(width) * end.stride;
      end.line = y % factor;
      if (enlarged) {
        const qsr::BilinearTap& tap = enlarged->down[static_cast<size_t>(y)];
        end.low = enlarged->at(tap.low);
        end.high = enlarged->at(tap.high);
        end.low_weight = tap.low_weight;
        end.high_weight = tap.high_weight;
      }
      if constexpr (sizeof(Out) == 1) {
        kernels.end_bytes(end, out.mutable_data(y));
      } else {
        kernels.end_floats(end, out.mutable_data(y));
      }
    }
    seconds = std::min(seconds, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return py::make_tuple(out, seconds);
}

}  // namespace

void define_picture(py::module_& module) {
  const char* first = "(H, W, 3) uint8 or float32, scale and offset (3,) or None -> (H, W, 3) float32.";
  const auto define_first = [&](auto function) {
    module.def("picture_begin", function, py::arg("picture").noconvert(), py::arg("scale") = py::none(),
               py::arg("offset") = py::none(), first);
  };
  define_first(&begin<uint8_t>);
  define_first(&begin<float>);
  const char* last =
      "isa, (H, W, stride) float32 values, factor of the shuffle, bias or None, (h, w, 3) base or None and its enlargement, repeat "
      "-> ((H * factor, W * factor, 3) uint8 or float32, fastest seconds).";
  const auto define_last = [&](const char* name, auto function) {
    module.def(name, function, py::arg("isa"), py::arg("values").noconvert(), py::arg("factor") = 1, py::arg("bias") = py::none(),
               py::arg("base") = py::none(), py::arg("enlargement") = 1, py::arg("repeat") = 1, last);
  };
  define_last("picture_end_bytes", &finish<uint8_t>);
  define_last("picture_end_floats", &finish<float>);
}
