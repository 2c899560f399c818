"""Depthwise row kernels against float64, over every remainder of channels and pixels; and each other's last bit."""

from __future__ import annotations

import numpy as np
import pytest

extension = pytest.importorskip("qsr._kernels", reason="the extension was not built", exc_type=ImportError)

TOLERANCE = 1e-5  # of the largest |sum|
NAMES = [
    pytest.param(kernel["name"], marks=pytest.mark.skipif(not kernel["supported"], reason=f"no {kernel['isa']} here"))
    for kernel in extension.depthwise_kernels()
]
CHANNELS = (*range(1, 34), 60, 64, 65)


def exact(picture: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Zero-padded sums in float64: (H, W, C) x (C, 1, kh, kw) -> (H, W, C)."""
    height, width, _ = picture.shape
    kh, kw = weights.shape[2:]
    padded = np.pad(picture.astype(np.float64), ((kh // 2, kh // 2), (kw // 2, kw // 2), (0, 0)))
    taps = [(u, v) for u in range(kh) for v in range(kw)]
    return sum(padded[u : u + height, v : v + width] * weights[:, 0, u, v].astype(np.float64) for u, v in taps)


def operands(channels: int, kernel: tuple[int, int], height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(channels * 1000 + width)
    return rng.standard_normal((height, width, channels), np.float32), rng.standard_normal((channels, 1, *kernel), np.float32)


def check(name: str, picture: np.ndarray, weights: np.ndarray) -> None:
    wanted, found = exact(picture, weights), extension.run_row_kernel(name, picture, weights)[0]
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= TOLERANCE * np.abs(wanted).max()


def test_one_for_each_instruction_set() -> None:
    isas = [kernel["isa"] for kernel in extension.depthwise_kernels()]
    assert isas == list(dict.fromkeys(kernel["isa"] for kernel in extension.row_kernels()))
    assert not {kernel["name"] for kernel in extension.depthwise_kernels()} & {k["name"] for k in extension.row_kernels()}


@pytest.mark.drill("K1")
@pytest.mark.parametrize("name", NAMES)
def test_every_number_of_channels(name: str) -> None:
    for number, channels in enumerate(CHANNELS):
        check(name, *operands(channels, (3, 3), 4, 1 + number % 20))


@pytest.mark.drill("K1")
@pytest.mark.parametrize("name", NAMES)
def test_every_width(name: str) -> None:
    for width in range(1, 41):
        check(name, *operands(19, (3, 3), 3, width))


@pytest.mark.drill("K1")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kernel", [(1, 1), (5, 5), (1, 9), (7, 3), (15, 15)])
def test_every_kernel(name: str, kernel: tuple[int, int]) -> None:
    for channels in (1, 16, 21):
        check(name, *operands(channels, kernel, 5, 13))


@pytest.mark.parametrize("name", NAMES)
def test_an_impulse_comes_back_as_the_weights(name: str) -> None:
    picture, weights = np.zeros((7, 11, 16), np.float32), operands(16, (3, 5), 1, 1)[1]
    picture[3, 5, 9] = 1
    wanted = np.zeros_like(picture)
    wanted[2:5, 3:8, 9] = weights[9, 0, ::-1, ::-1]
    assert np.array_equal(extension.run_row_kernel(name, picture, weights)[0], wanted)


@pytest.mark.parametrize("name", NAMES)
def test_no_sum_depends_on_where_its_pixel_lies(name: str) -> None:
    """Blocks of pixels, vectors of channels: none of it reaches the last bit, so tiles cannot show."""
    picture, weights = operands(21, (3, 3), 9, 40)
    whole = extension.run_row_kernel(name, picture, weights)[0]
    for left in range(1, 12):
        part = extension.run_row_kernel(name, np.ascontiguousarray(picture[2:, left:]), weights)[0]
        assert np.array_equal(part[1:, 1:], whole[3:, left + 1 :])


def test_vectors_of_any_length_round_alike() -> None:
    """AVX2 and AVX-512 give the same bits (docs/compatibility.md)."""
    names = [kernel["name"] for kernel in extension.depthwise_kernels() if kernel["supported"] and kernel["isa"] != "portable"]
    picture, weights = operands(43, (5, 3), 6, 25)
    sums = [extension.run_row_kernel(name, picture, weights)[0] for name in names]
    assert all(np.array_equal(sums[0], other) for other in sums[1:])


def test_other_shapes_are_refused() -> None:
    name = extension.depthwise_kernels()[-1]["name"]
    picture, weights = operands(4, (3, 3), 3, 3)
    for wrong in (weights[:3], np.zeros((4, 4, 3, 3), np.float32), np.zeros((4, 2, 3, 3), np.float32)):
        with pytest.raises(ValueError, match="depthwise"):
            extension.run_row_kernel(name, picture, wrong)
