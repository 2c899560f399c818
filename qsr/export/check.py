"""Header and tensors of a packed file against each other: every byte is accounted for before anything is built.

numpy only. Each fault is a FormatError that names the tensor or the layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsr.errors import FormatError
from qsr.export.header import FULL_BITS, Header, PackedLayer
from qsr.runtime import accumulator_bound, unpack_bits
from qsr.runtime.bits import packed_size

Tensors = Mapping[str, NDArray[Any]]
CODES, W_SCALE, A_SCALE, A_SHIFT = ".weight.codes", ".weight.scale", ".act.scale", ".act.shift"
RANK = {"conv": 4, "linear": 2, "operand": 0}


def check_tensors(header: Header, tensors: Tensors) -> dict[str, NDArray[np.int8]]:
    """The weight codes of every layer that has them, by layer name, in the weight's shape.

    Raises FormatError: contradictions inside the header, a tensor that is missing, left over, of another type or shape,
    codes outside their range or with padding bits set, scales that are not finite and positive, any number that is NaN
    or Inf, and sums that could overflow int32.
    """
    codes: dict[str, NDArray[np.int8]] = {}
    owned: set[str] = set()
    for number, layer in enumerate(header.layers):
        if layer.name in (before.name for before in header.layers[:number]):
            raise FormatError(f"layers: {layer.name} is listed twice")
        _check_entry(layer)
        if layer.w_bits != FULL_BITS:
            codes[layer.name] = _weight_codes(layer, tensors)
            owned |= {layer.name + CODES, layer.name + W_SCALE}
        elif layer.kind != "operand":
            _take(tensors, f"{layer.name}.weight", np.float32, (layer.shape,))
        if layer.a_bits != FULL_BITS:
            _check_activation(layer, tensors)
            owned |= {layer.name + A_SCALE, layer.name + A_SHIFT}
        if f"{layer.name}.bias" in tensors:
            _take(tensors, f"{layer.name}.bias", np.float32, (layer.shape[:1],))
    for name in tensors.keys() - owned:
        _check_plain(name, tensors[name])
    return codes


def _check_entry(layer: PackedLayer) -> None:
    where = f"layers: {layer.name}"
    if len(layer.shape) != RANK[layer.kind]:
        raise FormatError(f"{where}: shape {list(layer.shape)}, expected {RANK[layer.kind]} numbers for kind {layer.kind!r}")
    for key in ("stride", "padding"):
        if (getattr(layer, key) is None) == (layer.kind == "conv"):
            expected = "a number" if layer.kind == "conv" else "null"
            raise FormatError(f"{where}: {key} {getattr(layer, key)}, expected {expected} for kind {layer.kind!r}")
    if layer.w_bits == layer.a_bits == FULL_BITS or (layer.kind == "operand" and layer.w_bits != FULL_BITS):
        raise FormatError(f"{where}: w_bits {layer.w_bits} and a_bits {layer.a_bits} do not go with kind {layer.kind!r}")
    if (layer.w_narrow and layer.w_bits == FULL_BITS) or ((layer.a_signed or layer.a_narrow) and layer.a_bits == FULL_BITS):
        raise FormatError(f"{where}: w_narrow, a_signed and a_narrow are false where there are no codes")
    if FULL_BITS not in (layer.w_bits, layer.a_bits):
        most_a, most_w = (max(abs(low), high) for low, high in (layer.a_levels, layer.w_levels))
        try:
            accumulator_bound(layer.terms, most_a, most_w)
        except FormatError as fault:
            raise FormatError(f"{where}: shape {list(layer.shape)}: {fault.message}") from fault


def _weight_codes(layer: PackedLayer, tensors: Tensors) -> NDArray[np.int8]:
    name = layer.name + CODES
    data = _take(tensors, name, np.uint8, ((packed_size(layer.count, layer.w_bits),),))
    try:
        codes = unpack_bits(data, layer.count, layer.w_bits, signed=True)
    except FormatError as fault:
        raise FormatError(f"{name}: {fault.message}") from fault
    if int(codes.min()) < layer.w_levels[0]:
        raise FormatError(f"{name}: found code {codes.min()}, expected {layer.w_levels[0]} or more (w_narrow)")
    _check_positive(layer.name + W_SCALE, _take(tensors, layer.name + W_SCALE, np.float32, ((), layer.shape[:1])))
    return codes.reshape(layer.shape)


def _check_activation(layer: PackedLayer, tensors: Tensors) -> None:
    _check_positive(layer.name + A_SCALE, _take(tensors, layer.name + A_SCALE, np.float32, ((),)))
    name = layer.name + A_SHIFT
    if name in tensors:
        if layer.kind == "operand":
            raise FormatError(f"{name}: an operand of a product has no shift")
        _check_finite(name, _take(tensors, name, np.float32, (layer.shape[1:2],)))


def _take(tensors: Tensors, name: str, dtype: type[np.generic], shapes: tuple[tuple[int, ...], ...]) -> NDArray[Any]:
    if name not in tensors:
        raise FormatError(f"{name}: missing")
    found = tensors[name]
    if found.dtype != dtype or found.shape not in shapes:
        wanted = " or ".join(str(list(shape)) for shape in dict.fromkeys(shapes))
        raise FormatError(f"{name}: found {found.dtype} {list(found.shape)}, expected {np.dtype(dtype)} {wanted}")
    return found


def _check_plain(name: str, value: NDArray[Any]) -> None:
    """A tensor outside the layers: float32, or the order of a depth-dynamic network's blocks."""
    if value.dtype == np.float32:
        _check_finite(name, value)
    elif value.dtype != np.int64 or name.rpartition(".")[2] != "order":
        raise FormatError(f"{name}: found {value.dtype} {list(value.shape)} that belongs to no layer")
    elif value.ndim != 1 or not (np.array_equal(np.sort(value), np.arange(value.size)) or (value == -1).all()):
        raise FormatError(f"{name}: expected each block's number once, or -1 everywhere")


def _check_finite(name: str, value: NDArray[Any]) -> None:
    if not np.isfinite(value).all():
        raise FormatError(f"{name}: holds NaN or Inf")


def _check_positive(name: str, value: NDArray[Any]) -> None:
    _check_finite(name, value)
    if not (value > 0).all():
        raise FormatError(f"{name}: found {value.min()}, expected a positive scale")
