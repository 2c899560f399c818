"""Exact integer convolution, the oracle of everything faster. The mathematics is in csrc/kernels/contract.h.

    y[n, o, i, j] = sum over c, u, v of  a[n, c, i*s + u - p, j*s + v - p] * w[o, c, u, v]

Zero padding happens in the code domain: a position outside the picture is code 0 and contributes nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsr.errors import FormatError
from qsr.runtime.backend import kernels

MAX_ACCUMULATOR = 2**31 - 1


def accumulator_bound(terms: int, max_activation: int, max_weight: int) -> int:
    """Largest magnitude that a sum of `terms` products can reach: K * max|a| * max|w|.

    Raises FormatError where an int32 accumulator could overflow; below that, any order of summation is exact.
    """
    bound = terms * max_activation * max_weight
    if bound > MAX_ACCUMULATOR:
        raise FormatError(
            f"int32 accumulator could overflow: {terms} terms x {max_activation} x {max_weight} = {bound}, "
            f"expected at most {MAX_ACCUMULATOR}"
        )
    return bound


def conv2d_int(codes: NDArray[Any], weights: NDArray[Any], padding: int = 0, stride: int = 1) -> NDArray[np.int32]:
    """Convolve codes (N, C, H, W) with weights (O, C, kh, kw), both int8 or uint8 -> int32 (N, O, H', W').

    H' = (H + 2*padding - kh) // stride + 1, and likewise W'. Raises ValueError for other dtypes and for shapes that
    do not fit together, FormatError where K * max|a| * max|w| could exceed int32 (with the magnitudes that occur).
    """
    for name, array in (("codes", codes), ("weights", weights)):
        if array.dtype not in (np.int8, np.uint8) or array.ndim != 4:
            raise ValueError(f"{name}: found {array.dtype} of shape {array.shape}, expected int8 or uint8 of 4 dimensions")
        if array.size == 0:
            raise ValueError(f"{name}: found the empty shape {array.shape}")
    if codes.shape[1] != weights.shape[1]:
        raise ValueError(f"channels: codes have {codes.shape[1]}, weights expect {weights.shape[1]}")
    if stride < 1 or padding < 0:
        raise ValueError(f"found stride {stride} and padding {padding}, expected at least 1 and 0")
    for axis in (2, 3):
        if codes.shape[axis] + 2 * padding < weights.shape[axis]:
            raise ValueError(f"kernel {weights.shape[2:]} does not fit into picture {codes.shape[2:]} with padding {padding}")
    accumulator_bound(int(np.prod(weights.shape[1:])), _magnitude(codes), _magnitude(weights))
    return kernels().conv2d(np.ascontiguousarray(codes), np.ascontiguousarray(weights), stride, padding)


def _magnitude(codes: NDArray[Any]) -> int:
    # through Python's int: abs(int8(-128)) is -128
    return max(abs(int(codes.min())), abs(int(codes.max())))
