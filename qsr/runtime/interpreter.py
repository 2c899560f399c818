"""A packed program run by numpy, operation by operation: ops.py made executable.

What runs where no compiler was at hand, and the oracle that the compiled engine and `qsr export --verify` are held against:
written to be read. Integer sums are exact (interpreter_layers.py), and codes are rounded in the order that torch does it.

>>> header, tensors = read("net.qsr")                               # doctest: +SKIP
>>> Interpreter(header, tensors, header.programs[0]).run(picture)   # doctest: +SKIP
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsr.runtime.executor import LayerKernel, bits_of
from qsr.runtime.interpreter_layers import Layer, quantize
from qsr.runtime.interpreter_maths import averaged, bilinear, depthwise, norm, prelu, repeated, shuffle
from qsr.runtime.interpreter_swin import SwinLayer
from qsr.runtime.packed.codes import Tensors, dense, vector
from qsr.runtime.packed.ops import (
    Add,
    Affine,
    Average,
    Bilinear,
    Conv,
    Depthwise,
    Image,
    Linear,
    Norm,
    Op,
    PackedHeader,
    PReLU,
    Program,
    Quantize,
    Repeat,
    Shuffle,
    Swin,
)
from qsr.runtime.packed.shapes import infer

Floats = NDArray[np.float32]
Trace = Callable[[int, Op | Linear, Floats, NDArray[np.int32] | None], None]


class Interpreter:
    """An executor (see executor.py) of one program of a file that check.py accepted."""

    def __init__(self, header: PackedHeader, tensors: Tensors, program: Program) -> None:
        self._program = program
        self._tensors = tensors
        self._values = infer(header, program)
        layers = ((number, op) for number, op in enumerate(program.ops))
        self._layers: dict[int, Layer | SwinLayer] = {
            number: Layer(op, tensors) if isinstance(op, Conv) else SwinLayer(op, tensors)
            for number, op in layers
            if isinstance(op, Conv | Swin)
        }
        self._last_use = {source: number for number, op in enumerate(program.ops) for source in _inputs(op)}

    def run(self, picture: NDArray[Any], as_bytes: bool = False, trace: Trace | None = None) -> NDArray[Any]:
        """As executor.Executor. trace: called with the number of each operation, itself, its value, and the integer sums of
        a layer with codes on both sides, (h, w, planes * c_out), else None; of Swin with its four layers first.
        """
        values: dict[int, Floats] = {}
        with np.errstate(all="ignore"):  # numbers of a file may overflow; the picture is clipped all the same
            for number, op in enumerate(self._program.ops):
                inputs = [values[source] for source in _inputs(op)]
                value, sums = self._run(number, op, inputs, picture, trace)
                if trace is not None:
                    trace(number, op, value, sums)
                values[number] = value
                for source in _inputs(op):
                    if self._last_use[source] == number:
                        values.pop(source, None)
            return to_bytes(value) if as_bytes else value

    def _run(
        self, number: int, op: Op, inputs: list[Floats], picture: NDArray[Any], trace: Trace | None
    ) -> tuple[Floats, NDArray[np.int32] | None]:
        layer = self._layers.get(number)
        if isinstance(layer, Layer):
            return layer(inputs[0])
        if isinstance(layer, SwinLayer):
            inner = None if trace is None else lambda *found: trace(number, *found)
            return layer(inputs[0], inner), None
        return self._simple(op, inputs, picture), None

    def _simple(self, op: Op, inputs: list[Floats], picture: NDArray[Any]) -> Floats:
        """Operations without integer sums."""
        if isinstance(op, Image):
            return picture.astype(np.float32) / np.float32(255) if picture.dtype == np.uint8 else picture
        x = inputs[0]
        channels = x.shape[2]
        if isinstance(op, Affine):
            return x * self._vector(op.scale, channels) + self._vector(op.offset, channels)
        if isinstance(op, PReLU):
            return prelu(x, *(self._vector(v, channels) for v in (op.slope, op.before, op.after)))
        if isinstance(op, Add):
            return x + inputs[1]
        if isinstance(op, Shuffle):
            return shuffle(x, op.factor)
        if isinstance(op, Depthwise):
            return depthwise(x, dense(op, self._tensors), self._vector(op.bias, channels))
        if isinstance(op, Repeat):
            return repeated(x, op.factor)
        if isinstance(op, Average):
            return averaged(x, op.factor)
        if isinstance(op, Bilinear):
            return bilinear(x, op.factor)
        if isinstance(op, Norm):
            return norm(x, self._tensors[op.weight], self._tensors[op.bias], op.eps)
        assert isinstance(op, Quantize), op
        return quantize(op.act, x, self._tensors, "map").values()

    def _vector(self, value: float | str, channels: int) -> Floats:
        return vector(value, channels, self._tensors)

    def kernels(self) -> list[LayerKernel]:
        """Layers of Swin are listed one by one."""
        rows = []
        for number, op in enumerate(self._program.ops):
            if isinstance(op, Depthwise):
                rows.append(LayerKernel(op.name, op.op, bits_of(op.weight, None), "numpy", "portable"))
            layer = self._layers.get(number)
            inner = [] if layer is None else [layer] if isinstance(layer, Layer) else list(layer.layers.values())
            for part in inner:
                kind = "conv" if isinstance(part.op, Conv) else "linear"
                rows.append(LayerKernel(part.op.name, kind, bits_of(part.op.weight, part.op.act), "numpy", "portable"))
        return rows

    def memory(self, height: int, width: int) -> int:
        """The largest sum, over the operations, of the values alive then and what the operation itself needs."""
        sizes = [4 * height * width * value.channels * value.factor**2 for value in self._values]
        alive = most = 0
        for number, op in enumerate(self._program.ops):
            factor, layer = self._values[number].factor, self._layers.get(number)
            own = 4 * sizes[number] if layer is None else layer.scratch(factor * height, factor * width)
            if isinstance(op, Depthwise):  # the padded map
                tall, wide = factor * height + op.kernel[0] - 1, factor * width + op.kernel[1] - 1
                own += 4 * op.channels * (tall * wide + math.prod(op.kernel))
            most = max(most, alive + own)
            alive += sizes[number] - sum(sizes[source] for source in set(_inputs(op)) if self._last_use[source] == number)
        return most + 3 * sizes[-1]


def to_bytes(value: Floats) -> NDArray[np.uint8]:
    """[0, 1] to 0..255, halves to even; what lies outside is clipped, NaN becomes 0."""
    return np.rint(np.fmin(np.fmax(value, 0), 1) * np.float32(255)).astype(np.uint8)


def _inputs(op: Op) -> tuple[int, ...]:
    return () if isinstance(op, Image) else op.inputs
