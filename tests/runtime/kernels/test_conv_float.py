"""Every float row kernel of this machine against float64, over shapes that leave remainders everywhere."""

from __future__ import annotations

import numpy as np
import pytest

extension = pytest.importorskip("qsr._kernels", reason="the extension was not built", exc_type=ImportError)

Shape = tuple[int, int, tuple[int, int], int, int]  # channels in and out, kernel, height, width
TOLERANCE = 1e-5  # of the largest |sum|: conv_rows.h promises it

SHAPES: list[Shape] = [
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


def accepted(shapes: list[Shape]) -> list[object]:
    """(kernel, shape) of every float kernel and the shapes that it accepts; what this machine does not run is skipped."""
    cases: list[object] = []
    for kernel in extension.row_kernels():
        skip = pytest.mark.skipif(not kernel["supported"], reason=f"this machine has no {kernel['isa']}")
        for c_in, c_out, (kh, kw), height, width in shapes if kernel["input"] == "float" else []:
            picture, weights = np.zeros((1, 1, c_in), np.float32), np.zeros((c_out, c_in, kh, kw), np.float32)
            if extension.row_kernel_accepts(kernel["name"], picture, weights):
                shape = (c_in, c_out, (kh, kw), height, width)
                cases.append(
                    pytest.param(
                        kernel["name"], shape, marks=skip, id=f"{kernel['name']}-{c_in}-{c_out}-{kh}x{kw}-{height}x{width}"
                    )
                )
    return cases


def picture_and_weights(shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    c_in, c_out, kernel, height, width = shape
    seed = c_in * 1000 + c_out + width
    print("seed", seed)
    rng = np.random.default_rng(seed)
    return rng.standard_normal((height, width, c_in), np.float32), rng.standard_normal((c_out, c_in, *kernel), np.float32)


def check(name: str, picture: np.ndarray, weights: np.ndarray) -> None:
    want = exact(picture, weights)
    got, _ = extension.run_row_kernel(name, picture, weights)
    assert got.shape == want.shape
    assert np.abs(got - want).max() <= TOLERANCE * np.abs(want).max()


@pytest.mark.drill("K1")
@pytest.mark.parametrize(("name", "shape"), accepted(SHAPES))
def test_sums_are_those_of_float64(name: str, shape: Shape) -> None:
    check(name, *picture_and_weights(shape))


@pytest.mark.drill("K1")
@pytest.mark.parametrize(
    ("name", "shape"), accepted([(16, c_out, (3, 3), 5, width) for c_out in (3, 32) for width in range(1, 41)])
)
def test_every_width(name: str, shape: Shape) -> None:
    check(name, *picture_and_weights(shape))


@pytest.mark.drill("K1")
@pytest.mark.parametrize(
    ("name", "shape"), accepted([(c_in, c_out, (3, 3), 4, 14) for c_in in range(8, 34) for c_out in (2, 40)])
)
def test_every_number_of_channels(name: str, shape: Shape) -> None:
    check(name, *picture_and_weights(shape))


@pytest.mark.drill("K1")
@pytest.mark.parametrize(("name", "shape"), accepted([(64, 64, (3, 3), 24, 40), (64, 3, (3, 3), 24, 40)]))
def test_pictures_that_are_not_noise(name: str, shape: Shape) -> None:
    """Positive and smooth, as after a relu: nothing cancels by chance, and the error is measured against the same bound."""
    _, weights = picture_and_weights(shape)
    y, x = np.mgrid[0:24, 0:40]
    noise = np.random.default_rng(7).random(64)
    check(name, (1.5 + np.sin(x / 9)[..., None] * np.cos(y / 7)[..., None] + noise).astype(np.float32), weights)


@pytest.mark.drill("K1")
@pytest.mark.parametrize(("name", "shape"), accepted([(16, 16, (3, 3), 7, 11), (16, 3, (3, 3), 7, 11), (16, 2, (3, 5), 7, 11)]))
def test_an_impulse_comes_back_as_the_weights(name: str, shape: Shape) -> None:
    """Positions and order of the taps, without rounding that could hide them."""
    _, weights = picture_and_weights(shape)
    picture = np.zeros((7, 11, 16), np.float32)
    picture[3, 5, 9] = 1
    kh, kw = weights.shape[2:]
    want = np.zeros((7, 11, shape[1]), np.float32)
    want[3 - kh // 2 : 4 + kh // 2, 5 - kw // 2 : 6 + kw // 2] = weights[:, 9, ::-1, ::-1].transpose(1, 2, 0)
    got, _ = extension.run_row_kernel(name, picture, weights)
    np.testing.assert_allclose(got, want, rtol=0, atol=TOLERANCE * np.abs(weights).max())


def test_what_is_best_comes_first() -> None:
    """The order of the table: few outputs, Winograd, direct; then the next instruction set."""
    names = [kernel["name"] for kernel in extension.row_kernels() if kernel["input"] == "float"]
    assert names[-1] == "conv_f32_portable"
    for isa in ("avx512", "avx2"):
        assert [name for name in names if name.endswith(isa)] in (
            [],
            [f"conv_f32_{how}{isa}" for how in ("few_", "wino4_", "")],
        )
