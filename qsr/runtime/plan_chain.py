"""What follows a layer and can be computed on its sums while they are in the cache: the epilogue of csrc/kernels/epilogue.h.

    t = bias + scale * sum;   t = t if t >= 0 else slope * t;   t = t + after;   t = t + residual

Operations are taken in one by one, in the program's order; each is folded into these vectors, or refused. Vectors are
float64 until they are handed over, so that folding rounds once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsr.runtime.packed.codes import Tensors, vector
from qsr.runtime.packed.ops import Add, Affine, Op, PReLU, Shuffle

Vector = NDArray[np.float64]


class Chain:
    """The epilogue of one layer with `outputs` channels.

    value: number of the operation whose value it makes. up: of a PixelShuffle that it does; outputs are then in the order
    (dy, dx, channel), so that every place of the enlarged map has its channels side by side.
    """

    def __init__(self, value: int, outputs: int, tensors: Tensors, can_shuffle: bool) -> None:
        self.value = value
        self.outputs = outputs
        self.up = 1
        self.scale: Vector | None = None
        self.bias: Vector | None = None
        self.slope: Vector | None = None
        self.after: Vector | None = None
        self.residual: int | None = None
        self.gain: Vector | None = None  # what Affine operations have multiplied the sums by
        self.fused: list[str] = []
        self._tensors = tensors
        self._can_shuffle = can_shuffle
        self._order: NDArray[np.intp] | None = None

    @property
    def order(self) -> NDArray[np.intp]:
        """order[i]: output channel of the layer that is number i here."""
        return np.arange(self.outputs) if self._order is None else self._order

    def absorb(self, number: int, op: Op) -> bool:
        """Take in operation `number`, which uses `self.value`; False, and nothing changed, where that cannot be."""
        done = (
            self._affine(op)
            if isinstance(op, Affine)
            else self._prelu(op)
            if isinstance(op, PReLU)
            else self._add(op)
            if isinstance(op, Add)
            else isinstance(op, Shuffle) and self._shuffle(op)
        )
        if done:
            self.value = number
            self.fused.append(op.op)
        return done

    def _affine(self, op: Affine) -> bool:
        by, plus = self._vector(op.scale), self._vector(op.offset)
        if self.residual is not None or (self.slope is not None and not (by > 0).all()):
            return False  # behind a slope, what is below 0 has to stay below it
        self.scale = by if self.scale is None else self.scale * by
        self.gain = by if self.gain is None else self.gain * by
        if self.slope is None:
            self.bias = plus if self.bias is None else self.bias * by + plus
            return True
        self.bias = None if self.bias is None else self.bias * by
        self.after = plus if self.after is None else self.after * by + plus
        return True

    def _prelu(self, op: PReLU) -> bool:
        if self.slope is not None or self.residual is not None:
            return False
        before = self._vector(op.before)
        self.bias = before if self.bias is None else self.bias + before
        self.slope, self.after = self._vector(op.slope), self._vector(op.after)
        return True

    def _add(self, op: Add) -> bool:
        others = [source for source in op.inputs if source != self.value]
        if self.residual is not None or len(others) != 1:
            return False
        self.residual = others[0]
        return True

    def _shuffle(self, op: Shuffle) -> bool:
        if not self._can_shuffle or self.up > 1 or self.residual is not None:
            return False
        f = op.factor
        channels = self.outputs // f**2
        self._order = np.arange(self.outputs).reshape(channels, f, f).transpose(1, 2, 0).reshape(-1)
        for name in ("scale", "bias", "slope", "after", "gain"):
            values = getattr(self, name)
            if values is not None:
                setattr(self, name, values[..., self._order])
        self.up = f
        return True

    def _vector(self, value: float | str) -> Vector:
        """One number per output, in the order that outputs have now."""
        places = self.up**2
        return np.tile(vector(value, self.outputs // places, self._tensors).astype(np.float64), places)

    def vectors(self) -> dict[str, Any]:
        """float32, those that are there and do something."""
        found = {"scale": self.scale, "bias": self.bias, "slope": self.slope, "after": self.after}
        if self.after is not None and not self.after.any():
            found["after"] = None
        return {name: np.ascontiguousarray(values, np.float32) for name, values in found.items() if values is not None}
