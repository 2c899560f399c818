// A Status as a Python exception, in one place.
#pragma once

#include <pybind11/pybind11.h>

#include "base/status.h"

namespace qsr {

inline void raise_if_failed(const Status& status) {
  if (status.ok()) return;
  if (status.code == Code::kFormat) {
    const pybind11::object error = pybind11::module_::import("qsr.errors").attr("FormatError");
    PyErr_SetString(error.ptr(), status.message);
    throw pybind11::error_already_set();
  }
  if (status.code == Code::kMemory) {
    PyErr_SetString(PyExc_MemoryError, status.message);
    throw pybind11::error_already_set();
  }
  throw pybind11::value_error(status.message);
}

}  // namespace qsr
