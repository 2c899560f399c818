"""Weights of a packed network as arrays: integer codes, or the float32 values that they stand for.

`tensors` are those of a file that check.py accepted; nothing is checked twice here, so arrays of another origin have to
go through `check` first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsr.runtime.bits import pack_bits, unpack_bits
from qsr.runtime.packed.ops import Conv, Depthwise, FloatWeight, Linear, SignWeight, UniformWeight, Vector

Tensors = Mapping[str, NDArray[Any]]


def weight_shape(op: Conv | Depthwise | Linear) -> tuple[int, ...]:
    """(O, C, kh, kw) of a convolution, (C, kh, kw) of a depthwise one, (O, C) of a layer of Swin."""
    if isinstance(op, Depthwise):
        return (op.channels, *op.kernel)
    return (op.c_out, op.c_in, *op.kernel) if isinstance(op, Conv) else (op.c_out, op.c_in)


def code_count(op: Conv | Depthwise | Linear) -> int:
    """Codes in the weight's stream: the weight's numbers, times the planes of signs (Python's integers do not overflow)."""
    planes = op.weight.planes if isinstance(op.weight, SignWeight) else 1
    return planes * math.prod(weight_shape(op))


def weight_codes(op: Conv | Linear, tensors: Tensors) -> NDArray[Any]:
    """Integer weights. Uniform: int16 in the weight's shape (odd: the odd numbers 2 u - (2^b - 1)).

    Signs: int8 (planes, *weight's shape) of -1 and +1. ValueError for a float weight, which has no codes.
    """
    weight, shape = op.weight, weight_shape(op)
    if isinstance(weight, SignWeight):
        return unpack_signs(tensors[weight.tensor], (weight.planes, *shape))
    if isinstance(weight, UniformWeight):
        codes = unpack_bits(tensors[weight.tensor], math.prod(shape), weight.bits, not weight.odd).astype(np.int16)
        if weight.odd:
            codes = 2 * codes - np.int16((1 << weight.bits) - 1)
        return codes.reshape(shape)
    raise ValueError(f"{op.name}: a float weight has no codes")


def weight_scale(op: Conv | Linear, tensors: Tensors) -> NDArray[np.float32]:
    """The factor of the codes: (O,) of a uniform weight, (planes, O) of signs."""
    if isinstance(op.weight, SignWeight):
        return np.stack([vector(scale, op.c_out, tensors) for scale in op.weight.scale])
    if isinstance(op.weight, UniformWeight):
        return vector(op.weight.scale, op.c_out, tensors)
    raise ValueError(f"{op.name}: a float weight has no scale")


def dense(op: Conv | Depthwise | Linear, tensors: Tensors) -> NDArray[np.float32]:
    """w_hat, float32 in the weight's shape: code times scale, each product rounded once; planes are added in their order."""
    if isinstance(op.weight, FloatWeight):
        return tensors[op.weight.tensor].astype(np.float32)
    assert not isinstance(op, Depthwise)
    codes = weight_codes(op, tensors).astype(np.float32)
    scale = weight_scale(op, tensors)
    scale = scale.reshape(*scale.shape, *(1,) * (len(weight_shape(op)) - 1))  # along the output channels
    products: NDArray[np.float32] = codes * scale
    return products.sum(0) if isinstance(op.weight, SignWeight) else products


def vector(value: Vector, count: int, tensors: Tensors) -> NDArray[np.float32]:
    """float32 (count,): the number for all channels, or the tensor of that name."""
    if isinstance(value, str):
        return tensors[value]
    return np.full(count, value, np.float32)


def pack_codes(codes: NDArray[Any], bits: int, odd: bool = False) -> NDArray[np.uint8]:
    """The stream of a UniformWeight: signed codes of any integer type and shape; odd: odd numbers, as `weight_codes` gives.

    Raises ValueError for codes out of range, and for even numbers where odd ones are expected.
    """
    if not odd:
        return pack_bits(codes, bits, signed=True)
    if not (codes & 1).all():
        raise ValueError("codes: found an even number, expected odd ones")
    return pack_bits((codes.astype(np.int32) + (1 << bits) - 1) >> 1, bits, signed=False)


def pack_signs(signs: NDArray[Any]) -> NDArray[np.uint8]:
    """The stream of a SignWeight: -1 is the bit 1, +1 the bit 0. Raises ValueError for anything else.

    >>> pack_signs(np.array([-1, 1, 1, -1])).tolist()
    [9]
    """
    negative = signs < 0
    if not np.array_equal(np.where(negative, -1, 1), signs):
        raise ValueError("signs: expected -1 and +1 only")
    return np.packbits(negative.ravel(), bitorder="little")


def unpack_signs(data: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.int8]:
    """int8 of `shape`, -1 where the bit is 1, else +1."""
    bits = np.unpackbits(data, count=math.prod(shape), bitorder="little").view(np.int8)
    signs: NDArray[np.int8] = 1 - 2 * bits
    return signs.reshape(shape)
