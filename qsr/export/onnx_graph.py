"""A packed network as an ONNX graph with dynamic height and width, for engines that are not ours.

Weights are those that the packed network has. Layers of 8 bits on both sides carry QuantizeLinear / DequantizeLinear
around their operands, which integer engines turn into integer convolutions. All other quantized layers compute with
*float weights on the quantized grid* and inputs rounded to their levels: the same picture, but neither small nor fast,
because no ONNX engine has convolutions of 1 to 7 bits. `qsr export --onnx` says so.

Input `x`: (n, 3, h, w) float32 in [0, 1]; output `y`: (n, 3, s * h, s * w), not clipped. Any h, w >= 1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

import qsr
from qsr.errors import OptionsError
from qsr.export.onnx_builder import Builder
from qsr.export.onnx_swin import Windows, swin
from qsr.export.onnx_values import layer_input, quantized, weight
from qsr.runtime.packed.codes import Tensors, dense, vector
from qsr.runtime.packed.ops import (
    Add,
    Affine,
    Average,
    Bilinear,
    Conv,
    Depthwise,
    Image,
    Norm,
    Op,
    PackedHeader,
    PReLU,
    Program,
    Quantize,
    Repeat,
    Shuffle,
    SignAct,
    Swin,
)


def to_onnx(header: PackedHeader, tensors: Mapping[str, NDArray[Any]], program: Program | None = None) -> onnx.ModelProto:
    """The graph of one program (None: the first); header and tensors as `qsr.runtime.packed.container.read` gives them.

    Raises OptionsError for grey networks, which no trained network of qsr is.
    """
    program = program or header.programs[0]
    if header.channels != 3:
        raise OptionsError(f"found {header.channels} channels, ONNX export knows RGB")
    graph = Builder()
    picture = graph.input("x", ("n", 3, "h", "w"))
    windows = Windows(graph, picture, header.window) if header.window > 1 else None
    values = _Values(graph, picture if windows is None else windows.padded)
    for number, op in enumerate(program.ops):
        _add(graph, values, number, op, dict(tensors), windows)
    result = values.nchw(len(program.ops) - 1)
    if windows is not None:
        result = windows.crop(result, header.scale)
    graph.output(result, "y", ("n", 3, "sh", "sw"))
    about = {"scale": str(header.scale), "network": json.dumps(header.network, sort_keys=True)}
    return graph.model("qsr", qsr.__version__, about)


def integer_layers(program: Program) -> tuple[int, int]:
    """(convolutions that integer engines run in integers, quantized ones that stay float on the grid)."""
    layers = [op for op in program.ops if isinstance(op, Conv) and op.act is not None and op.weight.kind != "float"]
    integer = sum(layer_input(op) == "qdq" for op in layers)
    return integer, len(layers) - integer


class _Values:
    """The names of values in both layouts, (n, c, h, w) and (n, h, w, c); a transposition is made when first asked for."""

    def __init__(self, graph: Builder, picture: str) -> None:
        self._graph = graph
        self._first: dict[int, str] = {0: picture}
        self._last: dict[int, str] = {}

    def put(self, number: int, name: str, channels_last: bool = False) -> None:
        (self._last if channels_last else self._first)[number] = name

    def nchw(self, number: int) -> str:
        if number not in self._first:
            self._first[number] = self._graph("Transpose", self._last[number], perm=[0, 3, 1, 2])
        return self._first[number]

    def nhwc(self, number: int) -> str:
        if number not in self._last:
            self._last[number] = self._graph("Transpose", self._first[number], perm=[0, 2, 3, 1])
        return self._last[number]


def _add(graph: Builder, values: _Values, number: int, op: Op, tensors: Tensors, windows: Windows | None) -> None:
    if isinstance(op, Image):
        return
    if isinstance(op, Swin):
        assert windows is not None, "the loader refuses attention without a window"
        values.put(number, swin(graph, values.nhwc(op.inputs[0]), op, tensors, windows), channels_last=True)
        return
    if isinstance(op, Norm):
        x = values.nhwc(op.inputs[0])
        scale, bias = graph.constant(tensors[op.weight]), graph.constant(tensors[op.bias])
        values.put(number, graph("LayerNormalization", x, scale, bias, axis=-1, epsilon=op.eps), channels_last=True)
        return
    values.put(number, _pixelwise(graph, [values.nchw(one) for one in op.inputs], op, tensors))


def _pixelwise(graph: Builder, x: list[str], op: Op, tensors: Tensors) -> str:
    """Operations on (n, c, h, w)."""
    if isinstance(op, Affine):
        return graph("Add", graph("Mul", x[0], _channels(graph, op.scale, tensors)), _channels(graph, op.offset, tensors))
    if isinstance(op, Add):
        return graph("Add", *x)
    if isinstance(op, PReLU):
        slope = _channels(graph, op.slope, tensors)
        shifted = graph("Add", x[0], _channels(graph, op.before, tensors))
        return graph("Add", graph("PRelu", shifted, slope), _channels(graph, op.after, tensors))
    if isinstance(op, Shuffle):
        return graph("DepthToSpace", x[0], blocksize=op.factor, mode="CRD")
    if isinstance(op, Bilinear):
        factors = graph.constant(np.array([1, 1, op.factor, op.factor], np.float32))
        return graph("Resize", x[0], "", factors, mode="linear", coordinate_transformation_mode="half_pixel")
    if isinstance(op, Repeat):
        return graph("Concat", *x * op.factor, axis=1)
    if isinstance(op, Average):
        first = graph("Split", x[0], outputs=op.factor, axis=1, num_outputs=op.factor)
        return graph("Mean", first, *(f"{first}_{part}" for part in range(1, op.factor)))
    if isinstance(op, Quantize):
        return quantized(graph, x[0], op.act, tensors, axes=(1, 2, 3))
    if isinstance(op, Depthwise):
        return _depthwise(graph, x[0], op, tensors)
    assert isinstance(op, Conv)
    return _conv(graph, x[0], op, tensors)


def _conv(graph: Builder, x: str, op: Conv, tensors: Tensors) -> str:
    pads = [op.kernel[0] // 2, op.kernel[1] // 2] * 2
    x_hat = x if op.act is None else quantized(graph, x, op.act, tensors, axes=(1, 2, 3), as_qdq=layer_input(op) == "qdq")
    w_hat = weight(graph, op, tensors)
    bias = vector(op.bias, op.c_out, tensors)
    if not (isinstance(op.act, SignAct) and op.act.scale == "spatial"):
        return graph("Conv", x_hat, w_hat, graph.constant(bias), name=op.name, pads=pads)
    sums = graph("Conv", x_hat, w_hat, name=op.name, pads=pads)
    size = graph("ReduceMean", graph("Abs", x), graph.constant([1]), keepdims=1)
    box = graph("AveragePool", size, kernel_shape=list(op.kernel), pads=pads, count_include_pad=1)
    return graph("Add", graph("Mul", sums, box), graph.constant(bias.reshape(-1, 1, 1)))


def _depthwise(graph: Builder, x: str, op: Depthwise, tensors: Tensors) -> str:
    w = graph.constant(dense(op, tensors).reshape(op.channels, 1, *op.kernel), op.name + ".weight")
    bias = graph.constant(vector(op.bias, op.channels, tensors))
    return graph("Conv", x, w, bias, name=op.name, group=op.channels, pads=[op.kernel[0] // 2, op.kernel[1] // 2] * 2)


def _channels(graph: Builder, value: float | str, tensors: Tensors) -> str:
    """A number, or one per channel, that broadcasts over (n, c, h, w)."""
    return graph.constant(tensors[value].reshape(-1, 1, 1)) if isinstance(value, str) else graph.constant(float(value))
