"""Quantization and layers with weights, against torch's and against the exact integer convolution."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from qsr.quant.fused import Levels, codes
from qsr.runtime.interpreter_layers import BLOCK, Layer, box_mean, products, quantize
from qsr.runtime.packed.codes import dense, pack_codes, weight_codes
from qsr.runtime.packed.ops import Conv, Linear, SignAct, UniformAct, UniformWeight
from qsr.runtime.reference import conv2d_int
from tests.runtime.packed.build import METHODS, Builder

SEED = 11
METHODS_HERE = (*METHODS, "w4a4o", "w8a8o", "w2a2ns", "w4a4f", "w8a8sf", "w1a1m", "w1a1p", "w1a1x2p", "w1a1c", "w4a4w")


def layer(method: str, c_in: int = 7, c_out: int = 5, size: int = 3) -> tuple[Conv, dict[str, np.ndarray]]:
    b = Builder(method, SEED)
    b.conv(0, "layer", c_in, c_out, size)
    return b.ops[1], b.tensors


def features(h: int, w: int, c: int) -> np.ndarray:
    return np.random.default_rng(SEED).normal(0.3, 1, (h, w, c)).astype(np.float32)


@given(st.integers(2, 8), st.booleans(), st.booleans(), st.integers(0, 2**32 - 1), st.floats(1e-6, 10))
def test_codes_are_those_of_torch_bit_for_bit(bits: int, signed: bool, narrow: bool, seed: int, step: float) -> None:
    rng = np.random.default_rng(seed)
    step = float(np.float32(step))
    x = (rng.normal(0, 2, (64, 4)) * step * 2 ** (bits - 1)).astype(np.float32)
    x[:16] = (rng.integers(-300, 300, (16, 4)) + 0.5) * np.float32(step)  # halves, as far as float32 has them
    shift = rng.normal(0, step, 4).astype(np.float32)
    act = UniformAct(bits, signed, step, narrow, "shift")
    lowest = -(1 << bits - 1) + narrow if signed else 0
    highest = (1 << bits - signed) - 1
    v = torch.tensor(step)
    expected = codes(torch.from_numpy(x), v, torch.from_numpy(shift), Levels(lowest, highest, 1.0))
    found = quantize(act, x, {"shift": shift}, "last")
    assert np.array_equal(found.codes, expected.numpy())
    assert np.array_equal(found.values(), (expected * v).numpy())
    plain = codes(torch.from_numpy(x), v, None, Levels(lowest, highest, 1.0))
    assert np.array_equal(quantize(UniformAct(bits, signed, step, narrow), x, {}, "last").codes, plain.numpy())


def test_signs() -> None:
    x = np.array([[[-1.0, 0.0, -0.0, 3.0]]], np.float32)
    assert quantize(SignAct(), x, {}, "map").values().tolist() == [[[-1, 1, 1, 1]]]
    assert quantize(SignAct(-2.0, 0.5), x, {}, "map").values().tolist() == [[[-0.5, -0.5, -0.5, 0.5]]]
    assert quantize(SignAct(0.0, "mean"), x, {}, "map").values().tolist() == [[[-1, 1, 1, 1]]]
    two = np.array([[1.0, -3.0], [5.0, 5.0]], np.float32)
    assert quantize(SignAct(0.0, "mean"), two, {}, "last").values().tolist() == [[2, -2], [5, 5]]
    assert quantize(SignAct(0.0, "mean"), two[None], {}, "window").values().tolist() == [[[3.5, -3.5], [3.5, 3.5]]]


@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("method", METHODS_HERE)
def test_a_convolution_is_torch_on_dequantized_operands(method: str, size: int) -> None:
    op, tensors = layer(method, size=size)
    x = features(9, 6, op.c_in)
    y, _ = Layer(op, tensors)(x)
    x_hat = x if op.act is None else quantize(op.act, x, tensors, "map").values()
    w_hat, bias = torch.from_numpy(dense(op, tensors)), torch.from_numpy(tensors["layer.bias"])
    expected = F.conv2d(torch.from_numpy(x_hat.transpose(2, 0, 1)[None].copy()), w_hat, None, padding=size // 2)
    if isinstance(op.act, SignAct) and op.act.scale == "spatial":
        mean = torch.from_numpy(np.abs(x).mean(2)[None, None])
        expected = expected * F.conv2d(mean, torch.full((1, 1, size, size), 1 / size**2), padding=size // 2)
    expected = (expected + bias[:, None, None])[0].permute(1, 2, 0).numpy()
    assert np.abs(y - expected).max() <= 1e-5 * max(1, np.abs(expected).max())


@pytest.mark.parametrize("method", [m for m in METHODS_HERE if m not in ("fp", "fp16", "w4a4w", "w1a1c")])
def test_integer_sums_are_exact(method: str) -> None:
    """Equal to the integer convolution of the codes; odd codes of 8 bits in two parts, as they fit into no int8."""
    op, tensors = layer(method)
    x = features(8, 5, op.c_in)
    _, sums = Layer(op, tensors)(x)
    a = quantize(op.act, x, tensors, "map").codes.transpose(2, 0, 1)[None]
    a = a.astype(np.int8 if a.min() < 0 else np.uint8)
    w = weight_codes(op, tensors)
    w = w.reshape(-1, *w.shape[-3:])  # planes and outputs
    if w.max() > 127 or w.min() < -128:
        half = ((w - 1) // 2).astype(np.int8)  # w = 2 half + 1
        expected = 2 * conv2d_int(a, half, 1) + conv2d_int(a, np.ones_like(half), 1)
    else:
        expected = conv2d_int(a, w.astype(np.int8), 1)
    assert sums.dtype == np.int32
    assert np.array_equal(sums, expected[0].transpose(1, 2, 0))


def test_sums_beyond_what_float32_holds() -> None:
    """The largest codes over 4608 products: 2^27.2, where float32 would lose the last bits."""
    c = 512
    codes_ = np.full((2, c, 3, 3), 127, np.int8)
    codes_[1] = -128
    codes_[0, 0, 1, 1] = 126
    op = Conv((0,), "big", c, 2, (3, 3), UniformWeight("w", 8, 1.0), UniformAct(8, False, 1.0))
    found = Layer(op, {"w": pack_codes(codes_, 8)})(np.full((3, 3, c), 255, np.float32))[1]
    assert found[1, 1].tolist() == [127 * 255 * 9 * c - 255, -128 * 255 * 9 * c]


@pytest.mark.parametrize("method", ["w1a1", "w4a4f"])
def test_a_padded_position_contributes_nothing(method: str) -> None:
    """One pixel: the eight neighbours are padding, neither +1 nor -1 nor the offset."""
    op, tensors = layer(method)
    x = features(1, 1, op.c_in)
    y, _ = Layer(op, tensors)(x)
    centre = dense(op, tensors)[:, :, 1, 1]
    expected = centre @ quantize(op.act, x, tensors, "map").values()[0, 0] + tensors["layer.bias"]
    assert np.allclose(y[0, 0], expected, rtol=1e-5, atol=1e-6)


def test_tokens() -> None:
    b = Builder("w4a4", SEED)
    op: Linear = b.linear("fc", 6, 4)
    x = features(1, 300, 6)[0]
    y, sums = Layer(op, b.tensors)(x)
    q = quantize(op.act, x, b.tensors, "last")
    expected = q.values() @ dense(op, b.tensors).T + b.tensors["fc.bias"]
    assert y.shape == (300, 4)
    assert np.allclose(y, expected, rtol=1e-5, atol=1e-6)
    assert np.array_equal(sums, (q.codes @ weight_codes(op, b.tensors).T).astype(np.int32))


def test_a_pixel_depends_on_its_neighbourhood_alone() -> None:
    """The same sums, bit for bit, wherever a tile begins and however large it is."""
    rng = np.random.default_rng(SEED)
    x = rng.normal(0, 1, (3 * BLOCK // 8, 40, 16)).astype(np.float32)
    matrix = rng.normal(0, 1, (9 * 16, 13)).astype(np.float32)
    whole = products(x, matrix, (3, 3))
    for top, left, rows, columns in ((5, 7, 20, 9), (0, 0, 3, 3), (60, 11, 17, 29)):
        part = products(x[top : top + rows, left : left + columns], matrix, (3, 3))
        assert np.array_equal(part[1:-1, 1:-1], whole[top + 1 : top + rows - 1, left + 1 : left + columns - 1])


def test_box_mean_counts_padding_as_zero() -> None:
    assert np.allclose(box_mean(np.ones((2, 2, 1), np.float32), (3, 3)), 4 / 9)
