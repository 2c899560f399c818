"""A packed network's header and tensors against each other: every byte is accounted for before anything is built.

What passes is safe to build from: references go backward, shapes fit, codes have exactly the bytes they need and zero
padding, no number is NaN or Inf, what is divided by is positive, and integer sums fit into int32. numpy only.

Memory: values are looked at in pieces of `PIECE` bytes, so that checking takes a few MiB whatever the file.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from qsr.errors import FormatError
from qsr.runtime.bits import code_range
from qsr.runtime.packed.codes import Tensors, weight_shape
from qsr.runtime.packed.ops import (
    Act,
    Conv,
    FloatWeight,
    Linear,
    Op,
    PackedHeader,
    Quantize,
    SignAct,
    SignWeight,
    Swin,
    UniformAct,
)
from qsr.runtime.packed.parts import TOO_LARGE
from qsr.runtime.packed.reach import check_reach
from qsr.runtime.packed.shapes import SMALLEST, Use, infer, uses
from qsr.runtime.reference import accumulator_bound

MAX_TENSORS = 1 << 16
DTYPES = {name: np.dtype(name) for name in ("uint8", "float16", "float32")}
PIECE = 1 << 20  # bytes looked at in one go


def check(header: PackedHeader, tensors: Tensors) -> None:
    """Raise FormatError, naming operation or tensor, unless every rule of docs/format.md holds."""
    if len(tensors) > MAX_TENSORS:
        raise FormatError(f"found {len(tensors)} tensors, expected at most {MAX_TENSORS}", hint=TOO_LARGE)
    seen: set[Use] = set()
    for number, program in enumerate(header.programs):
        at = f"programs[{number}]"
        values = infer(header, program, at)
        check_reach(header, program, values)
        for place, (op, value) in enumerate(zip(program.ops, values)):
            here = f"{at}.ops[{place}]"
            _check_op(op, here)
            for use in uses(op, value, here):
                _check_tensor(use, tensors, seen)
    _check_depths(header)
    used = {use.tensor for use in seen}
    if left := sorted(tensors.keys() - used):
        raise FormatError(f"tensor {left[0][:80]!r}: no operation uses it")


def _check_depths(header: PackedHeader) -> None:
    depths = [program.depth for program in header.programs]
    if len(depths) > 1 and (None in depths or len(set(depths)) < len(depths)):
        raise FormatError(f"programs: found the depths {depths}, expected a different number for each")


# --- operations -------------------------------------------------------------------------------------------------------
def _check_op(op: Op, at: str) -> None:
    """What an operation's own numbers must fulfil, no tensor involved."""
    if isinstance(op, Conv):
        _check_layer(op, at)
    elif isinstance(op, Quantize):
        _no_spatial(op.act, f"{at}.act")
    elif isinstance(op, Swin):
        for key in ("qkv", "proj", "fc1", "fc2"):
            layer: Linear = getattr(op, key)
            _check_layer(layer, f"{at}.{key}")
            _no_spatial(layer.act, f"{at}.{key}.act")
        if op.operands is not None:
            _check_operands(op, at)


def _check_layer(layer: Conv | Linear, at: str) -> None:
    weight = layer.weight
    if isinstance(weight, FloatWeight):
        return
    if not isinstance(weight, SignWeight) and weight.odd and weight.narrow:
        raise FormatError(f"{at}.weight.narrow: found true, expected false where the codes are odd numbers")
    if layer.act is None:
        return
    if isinstance(weight, SignWeight):
        most = 1
    else:
        most = (1 << weight.bits) - 1 if weight.odd else 1 << (weight.bits - 1)
    _bound(int(np.prod(weight_shape(layer)[1:])), _largest(layer.act), most, at)


def _check_operands(op: Swin, at: str) -> None:
    operands = op.operands
    assert operands is not None
    for key in ("q", "k", "v"):
        _no_spatial(getattr(operands, key), f"{at}.operands.{key}")
    _bound(op.channels // op.heads, _largest(operands.q), _largest(operands.k), f"{at}.operands.q")
    most = _largest(operands.map) if isinstance(operands.map, UniformAct) else 1
    _bound(op.window**2, most, _largest(operands.v), f"{at}.operands.map")


def _largest(act: Act) -> int:
    """The largest magnitude of a code."""
    if isinstance(act, SignAct):
        return 1
    lowest, highest = code_range(act.bits, act.signed)
    return max(-lowest, highest)


def _bound(terms: int, act: int, weight: int, at: str) -> None:
    try:
        accumulator_bound(terms, act, weight)
    except FormatError as fault:
        raise FormatError(f"{at}: {fault.message}") from fault


def _no_spatial(act: Act | None, at: str) -> None:
    if isinstance(act, SignAct) and act.scale == "spatial":
        raise FormatError(f"{at}.scale: found 'spatial', which only the input of a conv can have")


# --- tensors ----------------------------------------------------------------------------------------------------------
def _check_tensor(use: Use, tensors: Tensors, seen: set[Use]) -> None:
    if use.tensor not in tensors:
        raise FormatError(f"{use.at}: the tensor {use.tensor!r} is missing")
    found = tensors[use.tensor]
    if not any(found.dtype == DTYPES[name] for name in use.dtypes) or found.shape != use.shape:
        wanted = " or ".join(use.dtypes)
        raise FormatError(
            f"tensor {use.tensor!r}: found {found.dtype} {list(found.shape)}, expected {wanted} {list(use.shape)} for {use.at}"
        )
    if use in seen:  # the same demand by another operation or program: the values have been looked at
        return
    seen.add(use)
    if use.rule == "codes":
        _check_codes(use, found)
        return
    for piece in _pieces(found):
        if not np.isfinite(piece).all():
            raise FormatError(f"tensor {use.tensor!r}: holds NaN or Inf")
        if use.rule == "positive" and piece.min() < SMALLEST:
            raise FormatError(f"tensor {use.tensor!r}: found {piece.min()}, expected positive numbers for {use.at}")
        if use.rule == "not negative" and piece.min() < 0:
            raise FormatError(f"tensor {use.tensor!r}: found {piece.min()}, expected 0 or more for {use.at}")


def _check_codes(use: Use, data: NDArray[np.uint8]) -> None:
    spare = 8 * data.size - use.count * use.bits
    if spare and int(data[-1]) >> (8 - spare):
        raise FormatError(f"tensor {use.tensor!r}: the {spare} padding bits behind the last code are not zero")
    if use.narrow:
        step = PIECE // 8 * use.bits  # a whole number of codes: 8 of them take `bits` bytes
        if any(holds_lowest(data[begin : begin + step], use.bits) for begin in range(0, data.size, step)):
            lowest = -(1 << (use.bits - 1))
            raise FormatError(f"tensor {use.tensor!r}: holds the code {lowest}, which is left out (narrow)")


def holds_lowest(data: NDArray[np.uint8], bits: int) -> bool:
    """Whether a stream holds the code -2^(bits - 1): the highest bit set, the others not. 64 bits at a time.

    Moving the stream up by 1 to bits - 1 brings each of a code's lower bits to the place of its highest. Where codes lie
    across two words, what one loses at its end comes in at the beginning of the next.

    >>> holds_lowest(np.array([0b01_11_00_11], np.uint8), 2), holds_lowest(np.array([0b01_10_00_11], np.uint8), 2)
    (False, True)
    """
    if bits == 8:
        return bool((data == 128).any())
    period = bits if 8 % bits else 1  # words after which the places of the codes repeat
    padded = np.zeros(-(-data.size // (8 * period)) * 8 * period, np.uint8)
    padded[: data.size] = data
    words = padded.view("<u8")
    lower = words << np.uint64(1)
    for places in range(1, bits):
        if places > 1:
            lower |= words << np.uint64(places)
        if period > 1:
            lower[1:] |= words[:-1] >> np.uint64(64 - places)
    stream = sum(1 << place for place in range(bits - 1, 64 * period, bits))
    highest = np.array([stream >> 64 * word & 0xFFFF_FFFF_FFFF_FFFF for word in range(period)], np.uint64)
    return bool(((words & ~lower).reshape(-1, period) & highest).any())


def _pieces(found: NDArray[np.generic]) -> Iterator[NDArray[np.generic]]:
    flat = found.reshape(-1)
    step = PIECE // flat.itemsize
    for begin in range(0, flat.size, step):
        yield flat[begin : begin + step]
