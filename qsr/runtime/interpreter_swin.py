"""One Swin transformer layer in plain numpy, all windows at once; ops.Swin says what is computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsr.runtime.interpreter_layers import Layer, quantize
from qsr.runtime.interpreter_maths import gelu, norm, softmax
from qsr.runtime.packed.codes import Tensors
from qsr.runtime.packed.ops import Act, ElasticAct, Linear, Swin, UniformAct

Floats = NDArray[np.float32]
Trace = Callable[[Linear, Floats, NDArray[np.int32] | None], None]

MASKED = -100.0  # added between tokens that are no neighbours in the picture


class SwinLayer:
    """The layer with its weights unpacked; call it with a feature map (h, w, c), h and w multiples of the window."""

    def __init__(self, op: Swin, tensors: Tensors) -> None:
        self.op = op
        self._tensors = tensors
        self.layers = {key: Layer(getattr(op, key), tensors) for key in ("qkv", "proj", "fc1", "fc2")}

    def __call__(self, x: Floats, trace: Trace | None = None) -> Floats:
        """trace: called with each inner layer, its result and its integer sums (see Layer)."""
        op, tensors = self.op, self._tensors

        def layer(key: str, tokens: Floats) -> Floats:
            result, sums = self.layers[key](tokens)
            if trace is not None:
                trace(self.layers[key].op, result, sums)  # type: ignore[arg-type]
            return result

        h, w, c = x.shape
        t = norm(x, tensors[op.norm1[0]], tensors[op.norm1[1]], op.eps)
        if op.shift:
            t = np.roll(t, (-op.shift, -op.shift), (0, 1))
        tokens = partition(t, op.window)  # (windows, n, c)
        a = self._attention(layer("qkv", tokens.reshape(-1, c)).reshape(*tokens.shape[:2], 3 * c), h, w).reshape(-1, c)
        a = a + layer("proj", a) if op.proj_skip else layer("proj", a)
        back = merge(a.reshape(tokens.shape), op.window, h, w)
        if op.shift:
            back = np.roll(back, (op.shift, op.shift), (0, 1))
        y = (x + back * np.float32(op.gain1)).astype(np.float32, copy=False)
        hidden = gelu(layer("fc1", norm(y, tensors[op.norm2[0]], tensors[op.norm2[1]], op.eps).reshape(-1, c)))
        z: Floats = y + np.float32(op.gain2) * layer("fc2", hidden).reshape(h, w, c)
        return z

    def _attention(self, qkv: Floats, h: int, w: int) -> Floats:
        """(windows, n, 3 c) -> (windows, n, c), heads joined."""
        op = self.op
        windows, n, _ = qkv.shape
        features = op.channels // op.heads
        q, k, v = qkv.reshape(windows, n, 3, op.heads, features).transpose(2, 0, 3, 1, 4)  # (windows, heads, n, features)
        q = q * np.float32(features**-0.5)
        if op.operands is not None:
            q, k, v = (self._operand(act, x) for act, x in ((op.operands.q, q), (op.operands.k, k), (op.operands.v, v)))
        bias = self._tensors[op.table][positions(op.window)].reshape(n, n, op.heads).transpose(2, 0, 1)  # (heads, n, n)
        logits = q @ k.transpose(0, 1, 3, 2) + bias
        if op.shift:
            logits = logits + mask(h, w, op.window, op.shift)[:, None]
        m = softmax(logits)
        if op.operands is not None:
            m = self._map(op.operands.map, m)
        joined: Floats = (m @ v).transpose(0, 2, 1, 3).reshape(windows, n, op.channels)
        return joined

    def _operand(self, act: Act, x: Floats) -> Floats:
        """x_hat of (windows, heads, n, features). Shifts and scales per channel: head by head."""
        per_head = {}
        for name in (act.shift, getattr(act, "scale", None)):
            if isinstance(name, str) and name in self._tensors:
                per_head[name] = self._tensors[name].reshape(self.op.heads, 1, -1)  # (heads, 1, features)
        return quantize(act, x, per_head, "window").values()

    def _map(self, act: UniformAct | ElasticAct, m: Floats) -> Floats:
        if isinstance(act, UniformAct):
            return quantize(act, m, self._tensors, "last").values()
        step: Any = self._tensors[act.step][:, None, None] if isinstance(act.step, str) else np.float32(act.step)
        result: Floats = np.where(m >= step / np.float32(2), step, np.float32(0))
        return result

    def scratch(self, height: int, width: int) -> int:
        """Bytes at most that a call needs, with its result and without its input."""
        op, tokens = self.op, height * width
        layers = max(layer.scratch(tokens, 1) for layer in self.layers.values())
        maps = 4 * tokens * op.window**2 * (5 * op.heads + 3) + 8 * op.window**4 * (op.heads + 2)
        return layers + maps + 4 * tokens * (18 * op.channels + 14 * op.fc1.c_out)


def partition(x: NDArray[Any], window: int) -> NDArray[Any]:
    """(h, w, c) -> (windows, window^2, c), all in row-major order."""
    h, w, c = x.shape
    grid = x.reshape(h // window, window, w // window, window, c)
    return grid.transpose(0, 2, 1, 3, 4).reshape(-1, window**2, c)


def merge(windows: NDArray[Any], window: int, height: int, width: int) -> NDArray[Any]:
    """The inverse of `partition`."""
    grid = windows.reshape(height // window, width // window, window, window, -1)
    return grid.transpose(0, 2, 1, 3, 4).reshape(height, width, -1)


def positions(window: int) -> NDArray[np.intp]:
    """(window^4,): the table's row of each pair (i, j) of tokens."""
    axis = np.arange(window)
    apart = axis[:, None] - axis[None, :] + window - 1  # along one axis, from 0
    pairs = apart[:, None, :, None] * (2 * window - 1) + apart[None, :, None, :]  # (yi, xi, yj, xj)
    return pairs.reshape(-1)


def mask(height: int, width: int, window: int, shift: int) -> Floats:
    """(windows, n, n): 0, or MASKED between tokens of different regions of the rolled map."""

    def region(size: int) -> NDArray[np.int64]:
        place = np.arange(size)
        return (place >= size - window).astype(np.int64) + (place >= size - shift)

    numbers = partition((3 * region(height)[:, None] + region(width))[:, :, None], window)[:, :, 0]
    result: Floats = np.where(numbers[:, :, None] != numbers[:, None], np.float32(MASKED), np.float32(0))
    return result
