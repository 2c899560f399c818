// A Swin layer from its description in Python.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>

#include "kernels/swin.h"

// Keys are the fields of SwinSpec; see qsr/runtime/plan_swin.py. Raises FormatError and ValueError as make() fails.
std::shared_ptr<qsr::SwinLayer> swin_layer(const pybind11::dict& from, qsr::Isa limit);
