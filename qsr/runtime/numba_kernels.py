"""The kernels in numba: what takes over where no compiler was at hand. Same functions as the extension; see backend.Kernels.

Written as loops over single elements, unlike the numpy file, so that the two are independent readings of the contract.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., Any])


def _compiled(function: F) -> F:
    # cached on disk: the first call of a session would otherwise compile for a second
    return cast(F, numba.njit(cache=True)(function))


@_compiled
def _pack(codes: NDArray[np.int16], bits: int, data: NDArray[np.uint8]) -> None:
    mask = (1 << bits) - 1
    for i in range(codes.size):
        position = i * bits
        shifted = (codes[i] & mask) << (position & 7)  # at most 15 bits: this byte and perhaps the next
        data[position >> 3] |= shifted & 255
        if shifted > 255:
            data[(position >> 3) + 1] = shifted >> 8


@_compiled
def _unpack(data: NDArray[np.uint8], bits: int, is_signed: bool, codes: NDArray[np.int16]) -> None:
    mask = (1 << bits) - 1
    sign = 1 << (bits - 1)
    for i in range(codes.size):
        byte, offset = (i * bits) >> 3, (i * bits) & 7
        window = np.int64(data[byte])
        if offset + bits > 8:
            window |= np.int64(data[byte + 1]) << 8
        raw = (window >> offset) & mask
        codes[i] = raw - 2 * sign if is_signed and raw & sign else raw


@_compiled
def _conv2d(codes: NDArray[Any], weights: NDArray[Any], stride: int, padding: int, out: NDArray[np.int32]) -> None:
    _, channels, height, width = codes.shape
    _, _, kernel_height, kernel_width = weights.shape
    for n, o, i, j in np.ndindex(out.shape):
        total = np.int64(0)
        for c in range(channels):
            for u in range(kernel_height):
                y = i * stride + u - padding
                if y < 0 or y >= height:
                    continue
                for v in range(kernel_width):
                    x = j * stride + v - padding
                    if 0 <= x < width:
                        total += np.int64(codes[n, c, y, x]) * np.int64(weights[o, c, u, v])
        out[n, o, i, j] = total


def pack_bits(codes: NDArray[np.int16], bits: int, is_signed: bool) -> NDArray[np.uint8]:
    """int16 codes (count,) -> stream. `is_signed` plays no part: two's complement keeps the low bits."""
    del is_signed
    data = np.zeros((codes.size * bits + 7) // 8, np.uint8)
    _pack(codes, bits, data)
    return data


def unpack_bits(data: NDArray[np.uint8], count: int, bits: int, is_signed: bool) -> NDArray[np.int16]:
    """Stream -> int16 codes (count,)."""
    codes = np.empty(count, np.int16)
    _unpack(data, bits, is_signed, codes)
    return codes


def conv2d(codes: NDArray[Any], weights: NDArray[Any], stride: int, padding: int) -> NDArray[np.int32]:
    """Plain loops with an int64 sum, which the accumulator bound lets fit into int32."""
    height = (codes.shape[2] + 2 * padding - weights.shape[2]) // stride + 1
    width = (codes.shape[3] + 2 * padding - weights.shape[3]) // stride + 1
    out = np.empty((codes.shape[0], weights.shape[0], height, width), np.int32)
    _conv2d(codes, weights, stride, padding, out)
    return out
