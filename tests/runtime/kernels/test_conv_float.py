"""Every float row kernel of this machine against float64, over shapes that leave remainders everywhere."""

from __future__ import annotations

import numpy as np
import pytest

extension = pytest.importorskip("qsr._kernels", reason="the extension was not built", exc_type=ImportError)

KERNELS = [
    pytest.param(
        kernel["name"], marks=pytest.mark.skipif(not kernel["supported"], reason=f"this machine has no {kernel['isa']}")
    )
    for kernel in extension.row_kernels()
    if kernel["input"] == "float"
]
TOLERANCE = 1e-5  # of the largest |sum|: conv_rows.h promises it

# channels in and out, kernel, height, width
SHAPES = [
    (64, 64, (3, 3), 9, 37),
    (64, 64, (3, 3), 4, 100),
    (64, 256, (3, 3), 5, 21),
    (3, 64, (3, 3), 6, 33),
    (64, 3, (3, 3), 5, 45),
    (16, 1, (3, 3), 3, 17),
    (61, 4, (5, 5), 4, 9),
    (60, 180, (1, 1), 3, 40),
    (120, 60, (1, 1), 2, 19),
    (17, 33, (3, 3), 7, 18),
    (48, 48, (3, 3), 8, 12),
    (32, 32, (3, 3), 10, 31),
    (20, 16, (3, 3), 2, 3),
    (3, 5, (7, 3), 4, 8),
    (5, 7, (1, 9), 3, 12),
    (2, 90, (15, 15), 2, 20),
    (1, 1, (1, 1), 1, 1),
    (64, 64, (3, 3), 1, 1),
    (70, 130, (3, 3), 3, 5),
]


def exact(picture: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Zero-padded sums in float64: (H, W, C) x (O, C, kh, kw) -> (H, W, O)."""
    height, width, _ = picture.shape
    kh, kw = weights.shape[2:]
    padded = np.pad(picture.astype(np.float64), ((kh // 2, kh // 2), (kw // 2, kw // 2), (0, 0)))
    sums = np.zeros((height, width, weights.shape[0]))
    for u in range(kh):
        for v in range(kw):
            sums += padded[u : u + height, v : v + width] @ weights[:, :, u, v].astype(np.float64).T
    return sums


def run_if_accepted(name: str, picture: np.ndarray, weights: np.ndarray) -> np.ndarray:
    if not extension.row_kernel_accepts(name, picture, weights, ()):
        pytest.skip(f"{name} leaves this convolution to another kernel")
    sums: np.ndarray = extension.run_row_kernel(name, picture, weights)[0]
    return sums


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sums_are_those_of_float64(name: str, shape: tuple[int, int, tuple[int, int], int, int]) -> None:
    c_in, c_out, kernel, height, width = shape
    seed = c_in * 1000 + c_out
    print("seed", seed)
    rng = np.random.default_rng(seed)
    picture = rng.standard_normal((height, width, c_in)).astype(np.float32)
    weights = rng.standard_normal((c_out, c_in, *kernel)).astype(np.float32)
    want = exact(picture, weights)
    got = run_if_accepted(name, picture, weights)
    assert np.abs(got - want).max() <= TOLERANCE * np.abs(want).max()


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("width", range(1, 41))
def test_every_width(name: str, width: int) -> None:
    rng = np.random.default_rng(width)
    picture = rng.standard_normal((5, width, 16)).astype(np.float32)
    weights = rng.standard_normal((32, 16, 3, 3)).astype(np.float32)
    want = exact(picture, weights)
    assert np.abs(run_if_accepted(name, picture, weights) - want).max() <= TOLERANCE * np.abs(want).max()


@pytest.mark.parametrize("name", KERNELS)
def test_pictures_that_are_not_noise(name: str) -> None:
    """Positive and smooth, as after a relu: nothing cancels by chance, and the error is measured against the same bound."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0:24, 0:40]
    picture = (1.5 + np.sin(x / 9)[..., None] * np.cos(y / 7)[..., None] + rng.random(64)).astype(np.float32)
    weights = rng.standard_normal((64, 64, 3, 3)).astype(np.float32)
    want = exact(picture, weights)
    assert np.abs(run_if_accepted(name, picture, weights) - want).max() <= TOLERANCE * np.abs(want).max()


@pytest.mark.parametrize("name", KERNELS)
def test_an_impulse_comes_back_as_the_weights(name: str) -> None:
    """Positions and order of the taps, without rounding that could hide them."""
    picture = np.zeros((7, 11, 16), np.float32)
    picture[3, 5, 9] = 1
    weights = np.arange(16 * 16 * 9, dtype=np.float32).reshape(16, 16, 3, 3)
    want = np.zeros((7, 11, 16), np.float32)
    want[2:5, 4:7] = weights[:, 9, ::-1, ::-1].transpose(1, 2, 0)
    np.testing.assert_allclose(run_if_accepted(name, picture, weights), want, rtol=0, atol=2304 * TOLERANCE)
