"""Integer kernels without torch: packing of codes, exact integer convolution, and the choice of who computes them.

>>> import numpy as np
>>> packed = pack_bits(np.array([1, 2, 3, 0, 1]), bits=2, signed=False)
>>> packed.tolist()
[57, 1]
>>> unpack_bits(packed, count=5, bits=2, signed=False).tolist()
[1, 2, 3, 0, 1]
"""

from __future__ import annotations

from qsr.runtime.backend import BackendInfo, backend_info
from qsr.runtime.bits import pack_bits, unpack_bits
from qsr.runtime.reference import accumulator_bound, conv2d_int

__all__ = ["BackendInfo", "accumulator_bound", "backend_info", "conv2d_int", "pack_bits", "unpack_bits"]
