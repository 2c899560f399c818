"""Weights and quantized inputs as ONNX nodes. See onnx_graph.py."""

from __future__ import annotations

from typing import Literal

import numpy as np

from qsr.export.onnx_builder import Builder
from qsr.runtime.packed import codes
from qsr.runtime.packed.codes import Tensors
from qsr.runtime.packed.ops import Act, Conv, ElasticAct, Linear, SignAct, UniformAct, UniformWeight, Vector


def layer_input(op: Conv | Linear) -> Literal["qdq", "grid"]:
    """qdq where both operands are plain 8-bit codes that QuantizeLinear can make; else grid."""
    w, a = op.weight, op.act
    plain = isinstance(w, UniformWeight) and w.bits == 8 and not w.odd
    return "qdq" if plain and isinstance(a, UniformAct) and a.bits == 8 and a.offset == 0.0 else "grid"


def weight(graph: Builder, op: Conv | Linear, tensors: Tensors) -> str:
    """w_hat, (O, C, kh, kw), or (C, O) for a Linear, ready for MatMul."""
    if isinstance(op, Conv) and layer_input(op) == "qdq":
        assert isinstance(op.weight, UniformWeight)
        q = codes.weight_codes(op, tensors).astype(np.int8)
        scale = codes.vector(op.weight.scale, op.c_out, tensors)
        zero = graph.constant(np.zeros(op.c_out, np.int8))
        return graph("DequantizeLinear", graph.constant(q, op.name + ".weight"), graph.constant(scale), zero, axis=0)
    dense = np.asarray(codes.dense(op, tensors), np.float32)
    return graph.constant(dense if isinstance(op, Conv) else dense.T, op.name + ".weight")


def quantized(
    graph: Builder,
    x: str,
    act: Act | ElasticAct,
    tensors: Tensors,
    axes: tuple[int, ...],
    as_qdq: bool = False,
    shape: tuple[int, ...] = (-1, 1, 1),
) -> str:
    """x_hat. axes: what `scale: mean` averages over. shape: of a vector per channel (or head), broadcasting over x."""

    def spread(value: Vector) -> str:
        return graph.constant(tensors[value].reshape(shape)) if isinstance(value, str) else graph.constant(float(value))

    if isinstance(act, ElasticAct):
        step = spread(act.step)
        above = graph("GreaterOrEqual", x, graph("Mul", step, graph.constant(0.5)))
        return graph("Mul", graph("Cast", above, to=1), step)
    moved = x if act.shift == 0.0 else graph("Add", x, spread(act.shift))
    if isinstance(act, SignAct):
        negative = graph("Less", moved, graph.constant(0.0))
        signs = graph("Where", negative, graph.constant(-1.0), graph.constant(1.0))
        if act.scale == "spatial":
            return signs
        if act.scale == "mean":
            size = graph("ReduceMean", graph("Abs", x), graph.constant(list(axes)), keepdims=1)
            return graph("Mul", signs, size)
        return graph("Mul", signs, spread(act.scale))
    lowest, highest = levels(act)
    step = graph.constant(float(act.step))
    if as_qdq:
        zero = graph.constant(np.zeros((), np.int8 if act.signed else np.uint8))
        x_hat = moved
        if act.signed and act.narrow:
            x_hat = graph("Max", moved, graph.constant(float(np.float32(lowest) * np.float32(act.step))))
        return graph("DequantizeLinear", graph("QuantizeLinear", x_hat, step, zero), step, zero)
    rounded = graph("Round", graph("Div", moved, step))
    clipped = graph("Clip", rounded, graph.constant(float(lowest)), graph.constant(float(highest)))
    x_hat = graph("Mul", clipped, step)
    return x_hat if act.offset == 0.0 else graph("Add", x_hat, graph.constant(float(act.offset)))


def levels(act: UniformAct) -> tuple[int, int]:
    """Lowest and highest code."""
    if not act.signed:
        return 0, 2**act.bits - 1
    return -(2 ** (act.bits - 1)) + act.narrow, 2 ** (act.bits - 1) - 1
