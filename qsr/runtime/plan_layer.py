"""How a convolution runs: on bits, on bytes or on floats, with which integer weights and which factors behind the sums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from qsr.runtime.bits import code_range
from qsr.runtime.packed.codes import Tensors, dense, vector, weight_codes, weight_scale
from qsr.runtime.packed.ops import Act, Conv, SignAct, SignWeight, UniformAct, UniformWeight

Format = Literal["bits", "bytes", "float"]

MOST_PLANES = 3  # of signs that the compiled kernels add up, see csrc/kernels/epilogue.h and swin.h


@dataclass(frozen=True)
class Layer:
    """weights: int16 (planes O, C, kh, kw), or float32 (O, C, kh, kw). scale: (planes, O), None: 1. bias: (O,).

    quantize: the input has to be turned into the values that its codes stand for, which then are convolved as floats.
    ranges: (a_min, a_max, w_min, w_max) of codes. edge: (taps, O), see csrc/graph/spec.h, or None.
    """

    format: Format
    weights: NDArray[Any]
    planes: int
    scale: NDArray[np.float64] | None
    bias: NDArray[np.float64]
    quantize: bool
    ranges: tuple[int, int, int, int]
    edge: NDArray[np.float64] | None


def layer_of(op: Conv, tensors: Tensors) -> Layer:
    """Bits for signs on signs, bytes for uniform inputs with codes as weights, floats for all else.

    A scale per input channel is no factor of a sum of codes, signs with weights of several bits have no kernel of their own,
    and no kernel takes more than MOST_PLANES: all these run as floats on the values of the codes, which is slower and as right.
    """
    bias = vector(op.bias, op.c_out, tensors).astype(np.float64)
    act, weight = op.act, op.weight
    signs = isinstance(act, SignAct) and isinstance(weight, SignWeight) and not per_channel(act)
    coded = signs or (isinstance(act, UniformAct) and isinstance(weight, UniformWeight | SignWeight))
    if not coded or (isinstance(weight, SignWeight) and weight.planes > MOST_PLANES):
        return Layer("float", dense(op, tensors), 1, None, bias, act is not None, (0, 0, 0, 0), None)
    codes = weight_codes(op, tensors).astype(np.int16)
    planes = weight.planes if isinstance(weight, SignWeight) else 1
    by_plane = codes.reshape(planes, op.c_out, op.c_in, *op.kernel)
    scale = weight_scale(op, tensors).reshape(planes, op.c_out).astype(np.float64)
    low, high = min(int(codes.min()), 0), max(int(codes.max()), 0)
    if isinstance(act, SignAct):
        factor = 1.0 if isinstance(act.scale, str) else act.scale
        return Layer("bits", by_plane, planes, scale * factor, bias, False, (-1, 1, -1, 1), None)
    assert isinstance(act, UniformAct)
    edge = None
    if act.offset:
        sums = (by_plane.astype(np.float64).sum(2) * scale[:, :, None, None]).sum(0)  # (O, kh, kw) of w_hat
        edge = act.offset * sums.reshape(op.c_out, -1).T
        bias = bias + edge.sum(0)
    lowest, highest = levels(act)
    return Layer("bytes", by_plane, planes, scale * act.step, bias, False, (min(lowest, 0), max(highest, 0), low, high), edge)


def levels(act: UniformAct) -> tuple[int, int]:
    """The lowest and the highest code."""
    lowest, highest = code_range(act.bits, act.signed)
    return lowest + (act.signed and act.narrow), highest


def per_channel(act: Act) -> bool:
    """Whether it has a scale per input channel."""
    return isinstance(act, SignAct) and isinstance(act.scale, str) and act.scale not in ("mean", "spatial")


def sink_of(act: Act, channels: int, tensors: Tensors) -> dict[str, Any]:
    """What turns floats into the codes of `act`; equal dictionaries make equal codes (`shift` aside: `sink_key`)."""
    shift = vector(act.shift, channels, tensors)
    sink: dict[str, Any] = {"shift": np.ascontiguousarray(shift)} if shift.any() else {}
    if isinstance(act, UniformAct):
        lowest, highest = levels(act)
        sink |= {"inv_step": float(np.float32(1) / np.float32(act.step)), "lowest": lowest, "highest": highest}
    return sink


def sink_key(act: Act, channels: int, tensors: Tensors) -> tuple[Any, ...]:
    """Equal for two inputs that are quantized alike, as far as codes go."""
    sink = sink_of(act, channels, tensors)
    shift = sink.pop("shift", None)
    return (act.kind, None if shift is None else shift.tobytes(), *sorted(sink.items()))
