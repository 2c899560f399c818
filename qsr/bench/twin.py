"""The same architecture as a packed network, for engines that have no low-bit convolutions: what they are best at.

    fp32    every layer in full precision, nothing quantized
    int8    every convolution with 8-bit codes on both sides, ranges taken from one run of the fp32 twin on a crop

The twins' pictures mean nothing (weights are the low-bit network's values); their times are those of the full-precision
and the 8-bit network that a user of that engine would deploy.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsr.runtime.interpreter import Interpreter
from qsr.runtime.packed import codes
from qsr.runtime.packed.ops import (
    Affine,
    Bilinear,
    Conv,
    Depthwise,
    FloatWeight,
    Linear,
    Op,
    PackedHeader,
    Program,
    Quantize,
    Shuffle,
    Swin,
    UniformAct,
    UniformWeight,
)

Tensors = dict[str, NDArray[Any]]
CROP = 24  # side of the calibration crop: the interpreter is plain numpy


def fp32(header: PackedHeader, tensors: Tensors, program: Program) -> tuple[PackedHeader, Tensors]:
    """Header with this one program in full precision, and its tensors."""
    kept: Tensors = dict(tensors)
    ops: list[Op] = []
    for op in program.ops:
        if isinstance(op, Conv | Depthwise):
            ops.append(_float(op, tensors, kept))
        elif isinstance(op, Swin):
            layers = {name: _float(getattr(op, name), tensors, kept) for name in ("qkv", "proj", "fc1", "fc2")}
            ops.append(replace(op, operands=None, **layers))
        elif isinstance(op, Quantize):
            ops.append(Affine(op.inputs))
        else:
            ops.append(op)
    return replace(header, programs=(Program(tuple(ops), program.depth),)), kept


def int8(header: PackedHeader, tensors: Tensors, program: Program) -> tuple[PackedHeader, Tensors]:
    """As `fp32`, with weight and input codes of 8 bits in every convolution. Swin layers stay in full precision."""
    header, kept = fp32(header, tensors, program)
    ranges = _input_ranges(header, kept)
    ops: list[Op] = []
    for number, op in enumerate(header.programs[0].ops):
        if isinstance(op, Conv):
            lowest, highest = ranges[number]
            signed = lowest < 0
            step = max(highest, -lowest, 1e-6) / (127 if signed else 255)
            dense = codes.dense(op, kept)
            scale = np.maximum(np.abs(dense).reshape(op.c_out, -1).max(1), 1e-12).astype(np.float32) / np.float32(127)
            q = np.rint(dense / scale.reshape(-1, 1, 1, 1)).astype(np.int16)
            stream, scales = f"twin.{number}.codes", f"twin.{number}.scale"
            kept[stream], kept[scales] = codes.pack_codes(q, 8), scale
            act = UniformAct(8, signed, float(np.float32(step)))
            ops.append(replace(op, weight=UniformWeight(stream, 8, scales), act=act))
        else:
            ops.append(op)
    return replace(header, programs=(Program(tuple(ops), program.depth),)), kept


def _float(op: Any, tensors: Tensors, kept: Tensors) -> Any:
    """A Conv, Depthwise or Linear of float32 weights without a quantized input."""
    assert isinstance(op, Conv | Depthwise | Linear)
    name = f"twin.{op.name}"
    kept[name] = np.ascontiguousarray(codes.dense(op, tensors), np.float32)
    weight = FloatWeight(name)
    return replace(op, weight=weight) if isinstance(op, Depthwise) else replace(op, weight=weight, act=None)


def _input_ranges(header: PackedHeader, tensors: Tensors) -> dict[int, tuple[float, float]]:
    """Smallest and largest input of every convolution on one crop of noise and edges."""
    side = max(CROP, header.window)
    side += -side % header.window
    picture = np.random.default_rng(0).integers(0, 256, (side, side, header.channels)).astype(np.uint8)
    picture[: side // 2] = 128
    seen: dict[int, tuple[float, float]] = {}

    def watch(number: int, op: Op | Linear, value: NDArray[Any], *_: Any) -> None:
        if not isinstance(op, Linear):
            seen[number] = (float(value.min()), float(value.max()))

    program = header.programs[0]
    Interpreter(header, tensors, program).run(picture, trace=watch)
    seen.setdefault(0, (0.0, 1.0))
    return {number: seen[op.inputs[0]] for number, op in enumerate(program.ops) if isinstance(op, Conv)}


def macs(program: Program, pixels: int) -> int:
    """Multiply-accumulates of one picture of `pixels` LR pixels: convolutions, linear layers and attention's products."""
    factors, total = [1], 0  # pixels of each value over those of the input
    for op in program.ops[1:]:
        here = factors[op.inputs[0]] if hasattr(op, "inputs") else 1
        if isinstance(op, Shuffle | Bilinear):
            here *= op.factor**2
        if isinstance(op, Conv):
            total += op.c_in * op.c_out * op.kernel[0] * op.kernel[1] * pixels * here
        if isinstance(op, Depthwise):
            total += op.channels * op.kernel[0] * op.kernel[1] * pixels * here
        if isinstance(op, Swin):
            linear = sum(layer.c_in * layer.c_out for layer in (op.qkv, op.proj, op.fc1, op.fc2))
            total += (linear + 2 * op.window**2 * op.channels) * pixels * here
        factors.append(here)
    return total
