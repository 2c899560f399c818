"""Packed networks and integer kernels without torch: reading and running packed files, codes, exact integer convolution.

>>> import numpy as np
>>> packed = pack_bits(np.array([1, 2, 3, 0, 1]), bits=2, signed=False)
>>> packed.tolist()
[57, 1]
>>> unpack_bits(packed, count=5, bits=2, signed=False).tolist()
[1, 2, 3, 0, 1]

`load` and `Model` are imported when they are asked for: reading a network takes more than counting bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qsr.runtime.backend import BackendInfo, backend_info
from qsr.runtime.bits import pack_bits, unpack_bits
from qsr.runtime.reference import accumulator_bound, conv2d_int

if TYPE_CHECKING:
    from qsr.runtime.model import Model, load

__all__ = [
    "BackendInfo",
    "Model",
    "accumulator_bound",
    "backend_info",
    "conv2d_int",
    "load",
    "pack_bits",
    "unpack_bits",
]


def __getattr__(name: str) -> Any:
    if name in ("Model", "load"):
        from qsr.runtime import model

        return getattr(model, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
