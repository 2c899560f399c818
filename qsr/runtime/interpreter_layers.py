"""Layers with weights, in plain numpy: a convolution of a feature map, a matrix product of tokens.

Where input and weight are both quantized, the sums are integers and exact. They are computed by the float matrix product
of numpy's BLAS all the same: with K * max|a| * max|w| < 2^24 every partial sum, in whatever order, is an integer that
float32 holds exactly, and float64 does so up to the 2^31 that check.py allows.

Every matrix product has the same shape, BLOCK rows (zeros behind the last one): what a pixel becomes then depends on its
neighbourhood alone, not on the size of the tile, for which a BLAS would choose another order of summation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from qsr.runtime.bits import code_range
from qsr.runtime.packed.codes import Tensors, dense, vector, weight_codes, weight_scale
from qsr.runtime.packed.ops import Act, Conv, FloatWeight, Linear, SignAct, UniformAct, UniformWeight
from qsr.runtime.packed.shapes import MODES

Floats = NDArray[np.float32]
Mean = Literal["map", "last", "window"]

BLOCK = 256  # rows of a matrix product
PIECE = 4 << 20  # bytes of gathered neighbourhoods at a time
EXACT = 1 << 24  # integers below it are exact in float32
AXES: dict[Mean, tuple[int, ...] | None] = {"map": None, "last": (-1,), "window": (-2, -1)}


@dataclass(frozen=True)
class Quantized:
    """x_hat = codes * factor + offset. codes: integers, as float32. factor: broadcasts over codes.

    constant: the factor is one number that does not depend on x.
    """

    codes: Floats
    factor: Floats
    offset: float
    constant: bool

    def values(self) -> Floats:
        x_hat: Floats = self.codes * self.factor
        return x_hat + np.float32(self.offset) if self.offset else x_hat


def quantize(act: Act, x: Floats, tensors: Tensors, mean: Mean) -> Quantized:
    """Codes of x, channels last. mean: what `SignAct.scale == "mean"` averages over.

    The order of operations is torch's in qsr.quant: (x + shift) / step, rounded once each, then rint, then the clip.
    """
    shifted = x if act.shift == 0 else x + (tensors[act.shift] if isinstance(act.shift, str) else np.float32(act.shift))
    if isinstance(act, UniformAct):
        lowest, highest = code_range(act.bits, act.signed)
        codes = np.clip(np.rint(shifted / np.float32(act.step)), lowest + (act.signed and act.narrow), highest)
        return Quantized(codes, np.asarray(act.step, np.float32), act.offset, True)
    signs = np.where(shifted >= 0, np.float32(1), np.float32(-1))
    if act.scale == "mean":
        size = np.abs(x).mean(AXES[mean], dtype=np.float64, keepdims=True).astype(np.float32)
        return Quantized(signs, size, 0.0, False)
    if act.scale == "spatial":  # multiplied on the output
        return Quantized(signs, np.asarray(1, np.float32), 0.0, True)
    if isinstance(act.scale, str):
        return Quantized(signs, tensors[act.scale], 0.0, False)
    return Quantized(signs, np.asarray(act.scale, np.float32), 0.0, True)


class Layer:
    """One Conv or Linear, its weight unpacked.

    exact: whether its sums are integers: codes on both sides, and no scale per input channel between them.
    """

    def __init__(self, op: Conv | Linear, tensors: Tensors) -> None:
        self.op = op
        self._tensors = tensors
        self.kernel = op.kernel if isinstance(op, Conv) else (1, 1)
        self._bias = vector(op.bias, op.c_out, tensors)
        self.exact = op.act is not None and not isinstance(op.weight, FloatWeight) and not _per_channel(op.act)
        self.planes = 1
        if not self.exact:
            self._matrix = _as_matrix(dense(op, tensors), self.kernel)
            return
        codes = weight_codes(op, tensors)
        self._scale = weight_scale(op, tensors)  # (O,) or (planes, O)
        if not isinstance(op.weight, UniformWeight):
            self.planes = codes.shape[0]
            codes = codes.reshape(-1, *codes.shape[2:])  # (planes O, ...)
        self._scale = self._scale.reshape(self.planes, op.c_out)
        largest = max(map(abs, code_range(op.act.bits, op.act.signed))) if isinstance(op.act, UniformAct) else 1
        bound = math.prod(codes.shape[1:]) * largest * int(np.abs(codes.astype(np.int32)).max())
        self._matrix = _as_matrix(codes.astype(np.float32 if bound < EXACT else np.float64), self.kernel)

    def __call__(self, x: Floats) -> tuple[Floats, NDArray[np.int32] | None]:
        """(h, w, c_in), or tokens (n, c_in) -> the same with c_out; and the integer sums (h, w, planes c_out), or None."""
        if x.ndim == 2:
            y, sums = self(x[:, None])
            return y[:, 0], None if sums is None else sums[:, 0]
        op = self.op
        if op.act is None:
            return products(x, self._matrix, self.kernel) + self._bias, None
        q = quantize(op.act, x, self._tensors, "map" if isinstance(op, Conv) else "last")
        if not self.exact:
            y, sums = products(q.values(), self._matrix, self.kernel), None
        else:
            sums = products(q.codes.astype(self._matrix.dtype), self._matrix, self.kernel).astype(np.int32)
            y = self._weighted(sums, self._scale * q.factor if q.constant else self._scale)
            if not q.constant:
                y = y * q.factor
            if q.offset:
                # the offset of the positions inside the picture, each times its weight
                ones = np.ones((*x.shape[:2], 1), self._matrix.dtype)
                total = self._matrix.reshape(math.prod(self.kernel), -1, self._matrix.shape[1]).sum(1)
                inside = products(ones, total, self.kernel).astype(np.int32)
                y = y + np.float32(q.offset) * self._weighted(inside, self._scale)
        if isinstance(op.act, SignAct) and op.act.scale == "spatial":
            y = y * box_mean(np.abs(x).mean(-1, keepdims=True), self.kernel)
        return y + self._bias, sums

    def _weighted(self, sums: NDArray[np.int32], scale: Floats) -> Floats:
        """Integer sums (h, w, planes O) times scale (planes, O), planes added in their order."""
        by_plane = sums.reshape(*sums.shape[:2], self.planes, -1)
        y: Floats = by_plane[:, :, 0].astype(np.float32) * scale[0]
        for plane in range(1, self.planes):
            y = y + by_plane[:, :, plane].astype(np.float32) * scale[plane]
        return y

    def scratch(self, height: int, width: int) -> int:
        """Bytes at most that a call needs for an input of this size, with its result and without its input."""
        size = int(self._matrix.dtype.itemsize)
        rows, columns = (int(side) for side in self._matrix.shape)
        padded = (height + self.kernel[0] - 1) * (width + self.kernel[1] - 1)
        inputs = (12 + 2 * size) * self.op.c_in * padded  # shifted, rounded, clipped, widened and padded, a copy each
        gathered = size * (rows + columns) * (_rows_at_once(width, rows, size) * width + BLOCK)
        return inputs + gathered + height * width * ((size + 8) * columns + 12 * self.op.c_out)


def _per_channel(act: Act) -> bool:
    return isinstance(act, SignAct) and isinstance(act.scale, str) and act.scale not in MODES


def products(x: NDArray[Any], matrix: NDArray[Any], kernel: tuple[int, int]) -> NDArray[Any]:
    """Correlate x (h, w, c) with matrix (kh kw c, O), zeros around it -> (h, w, O), the dtype of x."""
    (h, w, c), (kh, kw), outputs = x.shape, kernel, matrix.shape[1]
    padded = np.pad(x, ((kh // 2, kh // 2), (kw // 2, kw // 2), (0, 0)))
    result = np.empty((h, w, outputs), x.dtype)
    at_once = _rows_at_once(w, matrix.shape[0], x.itemsize)
    for top in range(0, h, at_once):
        rows = min(at_once, h - top)
        blocks = -(-rows * w // BLOCK)
        gathered = np.zeros((blocks * BLOCK, kh, kw, c), x.dtype)
        near = gathered[: rows * w].reshape(rows, w, kh, kw, c)
        for u in range(kh):
            for v in range(kw):
                near[:, :, u, v] = padded[top + u : top + u + rows, v : v + w]
        made = gathered.reshape(blocks, BLOCK, -1) @ matrix
        result[top : top + rows] = made.reshape(-1, outputs)[: rows * w].reshape(rows, w, outputs)
    return result


def box_mean(x: Floats, kernel: tuple[int, int]) -> Floats:
    """The average around each place of x (h, w, 1), zeros around it counted."""
    count = math.prod(kernel)
    return products(x, np.full((count, 1), 1 / count, np.float32), kernel)


def _rows_at_once(width: int, terms: int, size: int) -> int:
    return max(1, PIECE // max(1, width * terms * size))


def _as_matrix(weight: NDArray[Any], kernel: tuple[int, int]) -> NDArray[Any]:
    """(O, C, kh, kw) or (O, C) -> (kh kw C, O)."""
    ordered = weight.reshape(*weight.shape[:2], *kernel).transpose(2, 3, 1, 0)
    return np.ascontiguousarray(ordered).reshape(-1, weight.shape[0])
