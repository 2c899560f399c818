"""Codes of weights to streams and back; what they stand for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qsr.runtime.packed.codes import (
    code_count,
    dense,
    pack_codes,
    pack_signs,
    unpack_signs,
    vector,
    weight_codes,
    weight_scale,
    weight_shape,
)
from qsr.runtime.packed.ops import Conv, FloatWeight, Linear, SignWeight, UniformWeight

SHAPES = st.tuples(st.integers(1, 7), st.integers(1, 5), st.sampled_from((1, 3)), st.sampled_from((1, 3)))


def conv(weight, shape: tuple[int, int, int, int]) -> Conv:
    return Conv((0,), "layer", shape[1], shape[0], shape[2:], weight)


@given(SHAPES, st.integers(2, 8), st.booleans(), st.integers(0, 2**32 - 1))
def test_uniform_codes_round_trip(shape, bits: int, odd: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    top = 1 << (bits - 1)
    codes = rng.integers(-top, top, shape)
    codes = 2 * codes + 1 if odd else codes
    op = conv(UniformWeight("w", bits, 0.5, odd), shape)
    tensors = {"w": pack_codes(codes, bits, odd)}
    assert tensors["w"].size == -(-code_count(op) * bits // 8)
    found = weight_codes(op, tensors)
    assert found.dtype == np.int16
    assert np.array_equal(found, codes)
    assert np.array_equal(dense(op, tensors), codes.astype(np.float32) / 2)


@given(SHAPES, st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_signs_round_trip(shape, planes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    signs = rng.choice(np.array([-1, 1], np.int8), (planes, *shape))
    scales = rng.random((planes, shape[0]), np.float32)
    tensors = {"w": pack_signs(signs), **{f"s{p}": scales[p] for p in range(planes)}}
    op = conv(SignWeight("w", tuple(f"s{p}" for p in range(planes))), shape)
    assert code_count(op) == signs.size
    found = weight_codes(op, tensors)
    assert found.dtype == np.int8
    assert np.array_equal(found, signs)
    assert np.array_equal(weight_scale(op, tensors), scales)
    expected = sum(scales[p].reshape(-1, 1, 1, 1) * signs[p] for p in range(planes))
    assert np.array_equal(dense(op, tensors), expected)


def test_bits_lie_where_the_format_says() -> None:
    assert pack_codes(np.array([1, -2, -1, 0, 1]), 2).tolist() == [0b00_11_10_01, 0b01]
    assert pack_codes(np.array([-3, -1, 1, 3]), 2, odd=True).tolist() == [0b11_10_01_00]
    assert unpack_signs(np.array([0b101], np.uint8), (3,)).tolist() == [-1, 1, -1]


def test_a_linear_layer_and_float_weights() -> None:
    layer = Linear("fc", 3, 2, FloatWeight("w"))
    assert weight_shape(layer) == (2, 3)
    half = np.array([[1, 2, 3], [4, 5, 6.1]], np.float16)
    assert dense(layer, {"w": half}).dtype == np.float32
    assert np.array_equal(dense(layer, {"w": half}), half.astype(np.float32))
    for function in (weight_codes, weight_scale):
        with pytest.raises(ValueError, match="fc: a float weight has no"):
            function(layer, {"w": half})


def test_a_scale_per_output_channel() -> None:
    tensors = {"w": pack_codes(np.array([[[[1]]], [[[-1]]]]), 2), "s": np.array([0.5, 3], np.float32)}
    op = conv(UniformWeight("w", 2, "s"), (2, 1, 1, 1))
    assert dense(op, tensors).ravel().tolist() == [0.5, -3]
    assert vector("s", 2, tensors).tolist() == [0.5, 3]
    assert vector(0.1, 2, tensors).tolist() == [np.float32(0.1)] * 2


def test_what_cannot_be_packed() -> None:
    with pytest.raises(ValueError, match="even number"):
        pack_codes(np.array([1, 2]), 2, odd=True)
    with pytest.raises(ValueError, match="expected 0 to 3"):
        pack_codes(np.array([5]), 2, odd=True)
    with pytest.raises(ValueError, match=r"expected -1 and \+1"):
        pack_signs(np.array([0, 1]))
