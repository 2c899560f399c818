"""Operations without weights against torch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from qsr.runtime import interpreter_maths as maths

SEED = 3


def picture(h: int, w: int, c: int) -> np.ndarray:
    return np.random.default_rng(SEED).normal(0, 2, (h, w, c)).astype(np.float32)


def nchw(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(x.transpose(2, 0, 1)[None].copy())


def hwc(x: torch.Tensor) -> np.ndarray:
    return x[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (1, 7)])
def test_shuffle_and_bilinear(factor: int, size: tuple[int, int]) -> None:
    x = picture(*size, 2 * factor**2)
    assert np.array_equal(maths.shuffle(x, factor), hwc(F.pixel_shuffle(nchw(x), factor)))
    y = picture(*size, 3)
    expected = hwc(F.interpolate(nchw(y), scale_factor=float(factor), mode="bilinear", align_corners=False))
    assert np.allclose(maths.bilinear(y, factor), expected, rtol=0, atol=2e-6)


def test_bilinear_does_not_depend_on_where_a_tile_begins() -> None:
    x = picture(40, 30, 3)
    whole, tile = maths.bilinear(x, 3), maths.bilinear(x[16:30, 5:20], 3)
    assert np.array_equal(whole[3 * 17 : 3 * 29, 3 * 6 : 3 * 19], tile[3:-3, 3:-3])


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (1, 5), (7, 3)])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (9, 7)])
def test_depthwise(kernel: tuple[int, int], size: tuple[int, int]) -> None:
    x, weight, bias = picture(*size, 5), picture(5, *kernel), picture(1, 1, 5)[0, 0]
    padding = kernel[0] // 2, kernel[1] // 2
    expected = F.conv2d(nchw(x), torch.from_numpy(weight)[:, None], torch.from_numpy(bias), padding=padding, groups=5)
    assert np.allclose(maths.depthwise(x, weight, bias), hwc(expected), rtol=0, atol=2e-5)


def test_depthwise_does_not_depend_on_where_a_tile_begins() -> None:
    x, weight, bias = picture(40, 30, 3), picture(3, 3, 5), picture(1, 1, 3)[0, 0]
    whole, tile = maths.depthwise(x, weight, bias), maths.depthwise(x[16:30, 5:20], weight, bias)
    assert np.array_equal(whole[17:29, 7:18], tile[1:-1, 2:-2])


@pytest.mark.parametrize("factor", [2, 3, 8])
def test_repeated_and_averaged(factor: int) -> None:
    x = picture(3, 4, 5)
    many = maths.repeated(x, factor)
    assert np.array_equal(many, hwc(nchw(x).repeat(1, factor, 1, 1)))
    assert np.allclose(maths.averaged(many, factor), x, rtol=1e-6)
    y = picture(3, 4, 5 * factor)
    assert np.allclose(maths.averaged(y, factor), y.reshape(3, 4, factor, 5).mean(2), rtol=0, atol=1e-6)


def test_prelu() -> None:
    x = picture(4, 4, 3)
    x[0] = 0
    slope, before, after = (np.array(v, np.float32) for v in ([0.2, -1, 0], [0, 1, -1], [3, 0, 1]))
    expected = hwc(F.prelu(nchw(x + before), torch.from_numpy(slope))) + after
    assert np.array_equal(maths.prelu(x, slope, before, after), expected)


def test_norm_and_softmax() -> None:
    x, weight, bias = picture(4, 4, 24), picture(1, 1, 24)[0, 0], picture(1, 2, 24)[0, 1]
    expected = F.layer_norm(torch.from_numpy(x), (24,), torch.from_numpy(weight), torch.from_numpy(bias), 1e-5)
    assert np.allclose(maths.norm(x, weight, bias, 1e-5), expected.numpy(), rtol=0, atol=3e-6)
    assert np.allclose(maths.softmax(x), torch.from_numpy(x).softmax(-1).numpy(), rtol=2e-6, atol=1e-8)


def test_erf() -> None:
    x = np.concatenate((np.linspace(-6, 6, 20_001), [0, -0.0, 1e-30, -1e-30, 1e9, -1e9, np.inf, -np.inf])).astype(np.float32)
    expected = np.array([math.erf(value) for value in x.astype(np.float64)])
    worst = np.abs(maths.erf(x) - expected).max()
    print(f"largest error of erf: {worst:.2e}")
    assert worst <= 1e-7
    assert np.isnan(maths.erf(np.array([np.nan], np.float32)))[0]


def test_gelu() -> None:
    x = np.linspace(-8, 8, 10_001).astype(np.float32)
    expected = F.gelu(torch.from_numpy(x).double()).numpy()
    assert np.abs(maths.gelu(x) - expected).max() <= 1e-6
