"""The kernels in plain numpy: slow, short, always there. Same functions as the extension; see backend.Kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def pack_bits(codes: NDArray[np.int16], bits: int, is_signed: bool) -> NDArray[np.uint8]:
    """int16 codes (count,) -> stream. `is_signed` plays no part: two's complement keeps the low bits."""
    del is_signed
    planes = (codes[:, None].astype(np.uint8) >> np.arange(bits, dtype=np.uint8)) & 1  # (count, bits)
    return np.packbits(planes.ravel(), bitorder="little")


def unpack_bits(data: NDArray[np.uint8], count: int, bits: int, is_signed: bool) -> NDArray[np.int16]:
    """Stream -> int16 codes (count,)."""
    planes = np.unpackbits(data, count=count * bits, bitorder="little").reshape(count, bits)
    codes = planes.astype(np.int16) @ (np.int16(1) << np.arange(bits, dtype=np.int16))
    if is_signed:
        codes -= (codes >> (bits - 1)) << bits
    return codes


def conv2d(codes: NDArray[Any], weights: NDArray[Any], stride: int, padding: int) -> NDArray[np.int32]:
    """One matrix product over channels per tap of the kernel, summed in int32."""
    _, _, kernel_height, kernel_width = weights.shape
    padded = np.pad(codes.astype(np.int32), ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    height = (padded.shape[2] - kernel_height) // stride + 1
    width = (padded.shape[3] - kernel_width) // stride + 1
    out = np.zeros((codes.shape[0], weights.shape[0], height, width), np.int32)
    for u in range(kernel_height):
        for v in range(kernel_width):
            tap = padded[:, :, u : u + stride * (height - 1) + 1 : stride, v : v + stride * (width - 1) + 1 : stride]
            out += np.einsum("oc,nchw->nohw", weights[:, :, u, v].astype(np.int32), tap)
    return out
