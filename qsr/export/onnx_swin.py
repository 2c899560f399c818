"""A Swin layer, and the windows of a picture of any size, as ONNX nodes. See onnx_graph.py and ops.Swin.

Sizes are computed in the graph from the shape of the input: nothing of a picture's size is baked in.
"""

from __future__ import annotations

import numpy as np

from qsr.export.onnx_builder import Builder
from qsr.export.onnx_values import quantized, weight
from qsr.runtime.packed.codes import Tensors, vector
from qsr.runtime.packed.ops import Linear, Swin

MASKED = -100.0


class Windows:
    """The input continued by reflection to multiples of the window, its size, and the masks of shifted layers.

    padded: (n, 3, H, W). Masks are made once per shift.
    """

    def __init__(self, graph: Builder, picture: str, window: int) -> None:
        self.graph, self.window = graph, window
        self._size = [self._extent(picture, axis) for axis in (2, 3)]
        whole = [self._rounded_up(size) for size in self._size]
        tall = graph("Gather", picture, self._reflected(self._size[0], whole[0]), axis=2)
        self.padded = graph("Gather", tall, self._reflected(self._size[1], whole[1]), axis=3)
        self.whole = whole  # names of 0-dim int64: H and W
        self._masks: dict[int, str] = {}

    def crop(self, image: str, scale: int) -> str:
        """(n, 3, s H, s W) -> (n, 3, s h, s w)."""
        ends = [self._list(self.graph("Mul", size, self._number(scale))) for size in self._size]
        end = self.graph("Concat", *ends, axis=0)
        return self.graph("Slice", image, self.graph.constant([0, 0]), end, self.graph.constant([2, 3]))

    def partition(self, x: str, channels: int) -> str:
        """(n, H, W, c) -> (n * windows, window^2, c)."""
        g, w = self.graph, self.window
        grid = g("Reshape", x, self._shape(channels))
        return g("Reshape", g("Transpose", grid, perm=[0, 1, 3, 2, 4, 5]), g.constant([-1, w * w, channels]))

    def merge(self, tokens: str, channels: int) -> str:
        """(n * windows, window^2, c) -> (n, H, W, c)."""
        g = self.graph
        grid = g("Reshape", tokens, self._grid_shape(channels))
        rows = [self._list(one) for one in self.whole]
        shape = g("Concat", g.constant([-1]), *rows, g.constant([channels]), axis=0)
        return g("Reshape", g("Transpose", grid, perm=[0, 1, 3, 2, 4, 5]), shape)

    def roll(self, x: str, by: int) -> str:
        """(n, H, W, c), torch's roll by (by, by)."""
        g = self.graph
        for axis in (1, 2):
            cut, end = g.constant([-by]), g.constant([np.iinfo(np.int64).max])
            tail = g("Slice", x, cut, end, g.constant([axis]))
            head = g("Slice", x, g.constant([0]), cut, g.constant([axis]))
            x = g("Concat", tail, head, axis=axis)
        return x

    def mask(self, shift: int) -> str:
        """(1, windows, 1, window^2, window^2): 0, or MASKED between tokens of different regions."""
        if shift not in self._masks:
            g, w = self.graph, self.window
            rows, columns = (self._regions(size, shift) for size in self.whole)
            number = g("Add", g("Mul", g("Unsqueeze", rows, g.constant([1])), self._number(3)), columns)  # (H, W)
            four = g("Unsqueeze", number, g.constant([0, 3]))
            flat = g("Reshape", self.partition(four, 1), g.constant([-1, w * w]))
            same = g("Equal", g("Unsqueeze", flat, g.constant([2])), g("Unsqueeze", flat, g.constant([1])))
            mask = g("Where", same, g.constant(0.0), g.constant(MASKED))
            self._masks[shift] = g("Unsqueeze", mask, g.constant([0, 2]))
        return self._masks[shift]

    def _regions(self, size: str, shift: int) -> str:
        g = self.graph
        position = g("Range", self._number(0), size, self._number(1))
        first, second = (
            g("Cast", g("GreaterOrEqual", position, g("Sub", size, self._number(back))), to=7) for back in (self.window, shift)
        )
        return g("Add", first, second)

    def _reflected(self, size: str, whole: str) -> str:
        """Indices 0..whole-1 folded back into 0..size-1, as qsr.archs.windows.reflected."""
        g = self.graph
        one = self._number(1)
        period = g("Max", g("Mul", g("Sub", size, one), self._number(2)), one)
        index = g("Mod", g("Range", self._number(0), whole, one), period)
        return g("Min", g("Min", index, g("Sub", period, index)), g("Sub", size, one))

    def _shape(self, channels: int) -> str:
        """[-1, H / window, window, W / window, window, c]."""
        g = self.graph
        rows, columns = (self._list(g("Div", one, self._number(self.window))) for one in self.whole)
        w = g.constant([self.window])
        return g("Concat", g.constant([-1]), rows, w, columns, w, g.constant([channels]), axis=0)

    def _grid_shape(self, channels: int) -> str:
        """[-1, H / window, W / window, window, window, c]."""
        g = self.graph
        rows, columns = (self._list(g("Div", one, self._number(self.window))) for one in self.whole)
        return g("Concat", g.constant([-1]), rows, columns, g.constant([self.window, self.window, channels]), axis=0)

    def _rounded_up(self, size: str) -> str:
        g, w = self.graph, self._number(self.window)
        return g("Mul", g("Div", g("Add", size, self._number(self.window - 1)), w), w)

    def _extent(self, x: str, axis: int) -> str:
        g = self.graph
        return g("Squeeze", g("Shape", x, start=axis, end=axis + 1), g.constant([0]))

    def _list(self, number: str) -> str:
        return self.graph("Unsqueeze", number, self.graph.constant([0]))

    def _number(self, value: int) -> str:
        return self.graph.constant(np.array(value, np.int64))


def swin(graph: Builder, x: str, op: Swin, tensors: Tensors, windows: Windows) -> str:
    """(n, H, W, c) -> the same."""
    t = _norm(graph, x, op.norm1, op.eps, tensors)
    t = windows.roll(t, -op.shift) if op.shift else t
    a = windows.merge(_attention(graph, windows.partition(t, op.channels), op, tensors, windows), op.channels)
    a = windows.roll(a, op.shift) if op.shift else a
    y = graph("Add", x, _times(graph, a, op.gain1))
    hidden = _linear(graph, _norm(graph, y, op.norm2, op.eps, tensors), op.fc1, tensors)
    erf = graph("Erf", graph("Mul", hidden, graph.constant(2**-0.5)))
    gelu = graph("Mul", graph("Mul", hidden, graph.constant(0.5)), graph("Add", erf, graph.constant(1.0)))
    return graph("Add", y, _times(graph, _linear(graph, gelu, op.fc2, tensors), op.gain2))


def _attention(graph: Builder, tokens: str, op: Swin, tensors: Tensors, windows: Windows) -> str:
    """(n * windows, window^2, c) -> the same, projection included."""
    g, n, size = graph, op.window**2, op.channels // op.heads
    qkv = g("Reshape", _linear(g, tokens, op.qkv, tensors), g.constant([-1, n, 3, op.heads, size]))
    split = g("Split", g("Transpose", qkv, perm=[2, 0, 3, 1, 4]), axis=0, num_outputs=3, outputs=3)
    q, k, v = (g("Squeeze", name, g.constant([0])) for name in (split, f"{split}_1", f"{split}_2"))
    q = g("Mul", q, g.constant(float(np.float32(size**-0.5))))  # (b, heads, n, size)
    if op.operands is not None:
        given = (op.operands.q, op.operands.k, op.operands.v)
        # vectors of operands are per head and feature, flat: (heads * size,)
        q, k, v = (quantized(g, x, act, tensors, axes=(2, 3), shape=(op.heads, 1, size)) for x, act in zip((q, k, v), given))
    logits = g("MatMul", q, g("Transpose", k, perm=[0, 1, 3, 2]))
    logits = g("Add", logits, g.constant(_bias(op, tensors)))
    if op.shift:
        mask = windows.mask(op.shift)
        count = g("Shape", mask, start=1, end=2)
        shape = g("Concat", g.constant([-1]), count, g.constant([op.heads, n, n]), axis=0)
        logits = g("Reshape", g("Add", g("Reshape", logits, shape), mask), g.constant([-1, op.heads, n, n]))
    attention = g("Softmax", logits, axis=-1)
    if op.operands is not None:
        attention = quantized(g, attention, op.operands.map, tensors, axes=(2, 3), shape=(op.heads, 1, 1))
    joined = g("Transpose", g("MatMul", attention, v), perm=[0, 2, 1, 3])
    a = g("Reshape", joined, g.constant([-1, n, op.channels]))
    projected = _linear(g, a, op.proj, tensors)
    return g("Add", a, projected) if op.proj_skip else projected


def _bias(op: Swin, tensors: Tensors) -> np.ndarray:
    """(heads, n, n) from the table of relative positions."""
    axis = np.arange(op.window)
    offset = axis[:, None] - axis[None, :] + op.window - 1
    pairs = offset[:, None, :, None] * (2 * op.window - 1) + offset[None, :, None, :]
    n = op.window**2
    return np.ascontiguousarray(tensors[op.table][pairs.reshape(-1)].reshape(n, n, op.heads).transpose(2, 0, 1), np.float32)


def _linear(graph: Builder, x: str, layer: Linear, tensors: Tensors) -> str:
    x_hat = x if layer.act is None else quantized(graph, x, layer.act, tensors, axes=(-1,), shape=(-1,))
    product = graph("MatMul", x_hat, weight(graph, layer, tensors))
    return graph("Add", product, graph.constant(vector(layer.bias, layer.c_out, tensors)))


def _norm(graph: Builder, x: str, names: tuple[str, str], eps: float, tensors: Tensors) -> str:
    scale, bias = (graph.constant(tensors[name]) for name in names)
    return graph("LayerNormalization", x, scale, bias, axis=-1, epsilon=eps)


def _times(graph: Builder, x: str, factor: float) -> str:
    return x if factor == 1.0 else graph("Mul", x, graph.constant(float(factor)))
