"""Codes of 1 to 8 bits to bytes and back, in the canonical layout of csrc/kernels/contract.h part 4.

Element i occupies the bits [i*b, i*b + b) of the stream, least significant bit first; padding bits are zero, so a
tensor has exactly one encoding. The layout does not depend on the machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsr.errors import FormatError
from qsr.runtime.backend import kernels


def code_range(bits: int, signed: bool) -> tuple[int, int]:
    """Lowest and highest code of `bits` bits: (0, 2^b - 1), or two's complement. ValueError unless 1 <= bits <= 8."""
    if not 1 <= bits <= 8:
        raise ValueError(f"bits: found {bits}, expected 1 to 8")
    lowest = -(1 << (bits - 1)) if signed else 0
    return lowest, lowest + (1 << bits) - 1


def packed_size(count: int, bits: int) -> int:
    """Bytes of `count` packed elements: ceil(count * bits / 8)."""
    return (count * bits + 7) // 8


def pack_bits(codes: NDArray[Any], bits: int, signed: bool) -> NDArray[np.uint8]:
    """Pack integer codes of any shape (C order) into a 1-D uint8 stream.

    Raises ValueError for bits outside 1..8, codes that are not integers, and codes outside `code_range`.
    """
    lowest, highest = code_range(bits, signed)
    if not np.issubdtype(codes.dtype, np.integer):
        raise ValueError(f"codes: found dtype {codes.dtype}, expected an integer type")
    if codes.size and (codes.min() < lowest or codes.max() > highest):
        raise ValueError(f"codes: found {codes.min()} to {codes.max()}, expected {lowest} to {highest}")
    return kernels().pack_bits(np.ascontiguousarray(codes.ravel(), np.int16), bits, signed)


def unpack_bits(data: NDArray[np.uint8], count: int, bits: int, signed: bool) -> NDArray[Any]:
    """The `count` codes of a stream: 1-D, int8 if signed, else uint8.

    Raises ValueError for arguments that no file can be blamed for, FormatError for a wrong number of bytes and for
    padding bits that are not zero. Nothing is allocated before the number of bytes is known to be right.
    """
    code_range(bits, signed)
    if count < 0:
        raise ValueError(f"count: found {count}, expected 0 or more")
    if data.dtype != np.uint8 or data.ndim != 1:
        raise ValueError(f"data: found {data.dtype} of {data.ndim} dimensions, expected a 1-D uint8 array")
    if data.size != packed_size(count, bits):
        raise FormatError(
            f"packed codes: found {data.size} bytes, expected {packed_size(count, bits)} ({count} elements of {bits} bits)"
        )
    used = count * bits % 8
    if used and int(data[-1]) >> used:
        raise FormatError(f"packed codes: the {8 - used} padding bits behind the last element are not zero")
    codes = kernels().unpack_bits(np.ascontiguousarray(data), count, bits, signed)
    return codes.astype(np.int8 if signed else np.uint8)
