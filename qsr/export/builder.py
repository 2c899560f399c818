"""One program and the tensors that it names, while they are being made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qsr.errors import FormatError
from qsr.quant.bam import Chain
from qsr.runtime.packed.ops import Act, Affine, Bilinear, Image, Op, Program, Shuffle, Vector

Array = NDArray[Any]


@dataclass
class Said:
    """What the layers of a chain (BAM) have quantized so far: `total`, and (value, act) of those not added to it yet."""

    place: int
    enlarged: int
    total: int | None = None
    waiting: list[tuple[int, Act]] = field(default_factory=list)


@dataclass
class Shared:
    """What all programs of a file have in common.

    tensors: by name. half: whether the full-precision weight of a layer is stored as float16, by the layer's name.
    rounded: for these layers the weight as stored, in the trained network's own terms (before anything was folded in).
    """

    half: Callable[[str], bool]
    tensors: dict[str, Array] = field(default_factory=dict)
    rounded: dict[str, Tensor] = field(default_factory=dict)

    def keep(self, name: str, value: Array) -> str:
        """The name, under which the tensor now is. FormatError for NaN or Inf."""
        value = np.ascontiguousarray(value)
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise FormatError("holds NaN or Inf", where=f"tensor {name}")
        known = self.tensors.setdefault(name, value)
        assert np.array_equal(known, value), f"two different tensors called {name}"
        return name

    def vector(self, name: str, value: Array | Tensor | float) -> Vector:
        """A number where all channels have the same, else the name of a float32 tensor (n,)."""
        array = numbers(value).astype(np.float32).reshape(-1)
        if (array == array[0]).all() and np.isfinite(array[0]):
            return float(array[0])
        return self.keep(name, array)


class Builder:
    """Operations in order; a value is the number of the operation that makes it. Value 0 is the picture."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.ops: list[Op] = [Image()]
        self.chains: dict[Chain, Said] = {}
        self._enlarged = [1]

    def add(self, op: Op) -> int:
        assert not isinstance(op, Image)
        factor = op.factor if isinstance(op, Shuffle | Bilinear) else 1
        self._enlarged.append(factor * self._enlarged[op.inputs[0]])
        self.ops.append(op)
        return len(self.ops) - 1

    def affine(self, x: int, name: str, scale: Array | Tensor | float = 1.0, offset: Array | Tensor | float = 0.0) -> int:
        """x * scale + offset; no operation where that is x itself."""
        by, plus = self.shared.vector(f"{name}.scale", scale), self.shared.vector(f"{name}.offset", offset)
        return x if by == 1.0 and plus == 0.0 else self.add(Affine((x,), by, plus))

    def enlarged(self, x: int) -> int:
        """Size of value x over the picture's."""
        return self._enlarged[x]

    def program(self, depth: int | None) -> Program:
        return Program(tuple(self.ops), depth)


def numbers(value: Array | Tensor | float) -> Array:
    """As float64."""
    return np.asarray(value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value, np.float64)
