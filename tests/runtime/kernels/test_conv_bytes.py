"""What is special about the convolutions of bytes: which codes they take, and exactness where int8, int16 and int32 end.

Remainders, and the extremes of every range of codes, are in test_conv_rows.py.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

extension = pytest.importorskip("qsr._kernels", reason="the extension was not built", exc_type=ImportError)

Ranges = tuple[int, int, int, int]  # a_min, a_max, w_min, w_max

KERNELS = {kernel["name"]: kernel for kernel in extension.row_kernels() if kernel["input"] == "bytes"}
PORTABLE = "conv_u8s16_portable"

# The most of each that the kernel takes and, behind it, the least that it does not: derived by hand in wino_int.h, dot_avx2.h.
BOUNDS: dict[str, list[tuple[Ranges, Ranges]]] = {
    "conv_u2s2_wino4x3_avx512": [
        ((0, 4, -2, 2), (0, 5, -2, 2)),  # 60 a <= 255
        ((-2, 2, -2, 2), (-2, 3, -2, 2)),
        ((0, 3, -2, 2), (0, 3, -3, 2)),  # 63 |w| <= 127
    ],
    "conv_u3s3_wino2x4_avx512": [
        ((0, 12, -6, 6), (0, 13, -6, 6)),  # 20 a
        ((-4, 8, -6, 5), (-5, 8, -6, 5)),
        ((0, 7, -6, 6), (0, 7, -7, 6)),  # 21 |w|
    ],
    "conv_u4s3_wino2x3_avx512": [
        ((0, 21, -4, 4), (0, 22, -4, 4)),  # 12 a
        ((-8, 7, -4, 3), (-15, 7, -4, 3)),
        ((0, 15, -4, 4), (0, 15, -5, 4)),  # 27 |w|
    ],
    "conv_u4s4_wino2x2_avx512": [
        ((0, 63, -14, 14), (0, 64, -14, 14)),  # 4 a
        ((-32, 31, -1, 1), (-32, 32, -1, 1)),
        ((0, 15, -8, 14), (0, 15, -8, 15)),  # 9 w <= 127
        ((0, 15, -14, 7), (0, 15, -15, 7)),
    ],
    "conv_u8s8_avx512": [
        ((0, 255, -128, 127), (0, 255, -128, 128)),
        ((-128, 127, -128, 127), (-128, 127, -129, 127)),
    ],
    # the same, and pairs |2 U V| <= 32767
    "conv_u3s3_wino2x4_avx2": [((0, 11, -4, 3), (0, 12, -4, 3)), ((0, 12, -3, 3), (0, 13, -3, 3))],  # 2 * 20 a * 18 |w|
    "conv_u4s3_wino2x3_avx2": [((0, 18, -4, 3), (0, 19, -4, 3)), ((0, 21, -2, 1), (0, 22, -2, 1))],  # 2 * 8 a * 27 |w|
    "conv_u4s4_wino2x2_avx2": [((0, 56, -8, 7), (0, 57, -8, 7)), ((0, 63, -7, 7), (0, 64, -7, 7))],  # 2 * 4 a * 9 |w|
    "conv_u7s8_avx2": [
        ((0, 127, -128, 127), (0, 128, -128, 127)),
        ((-64, 63, -128, 127), (-64, 64, -128, 127)),
        ((0, 255, -64, 63), (0, 255, -65, 63)),
    ],
}


def supported(name: str) -> None:
    if name not in KERNELS:
        pytest.skip("the extension was not built for x86-64")
    if not KERNELS[name]["supported"]:
        pytest.skip(f"this processor has no {KERNELS[name]['isa']}")


def accepts(name: str, ranges: Ranges, side: int = 3, c_in: int = 64, c_out: int = 16) -> bool:
    picture, weights = np.zeros((1, 1, c_in), np.int16), np.zeros((c_out, c_in, side, side), np.int16)
    return bool(extension.row_kernel_accepts(name, picture, weights, ranges))


def agree(name: str, picture: NDArray[np.int16], weights: NDArray[np.int16], ranges: Ranges) -> None:
    """That the kernel has the sums of the portable one, which test_conv_rows.py holds against float64."""
    found, wanted = (extension.run_row_kernel(kernel, picture, weights, ranges)[0] for kernel in (name, PORTABLE))
    np.testing.assert_array_equal(found, wanted, err_msg=f"{name}, codes {ranges}")


@pytest.mark.drill("K2")
@pytest.mark.parametrize("name", BOUNDS)
def test_takes_the_codes_it_was_derived_for_and_none_beyond(name: str) -> None:
    if name not in KERNELS:
        pytest.skip("the extension was not built for x86-64")
    for most, beyond in BOUNDS[name]:
        assert accepts(name, most), most
        assert not accepts(name, beyond), beyond


@pytest.mark.parametrize("name", [name for name in KERNELS if "wino" in name])
def test_winograd_takes_3x3_only(name: str) -> None:
    ranges = BOUNDS[name][0][0]
    assert [side for side in (1, 3, 5, 7) if accepts(name, ranges, side)] == [3]
    assert not accepts(name, ranges, c_in=3), "three channels do not pay the transforms"


@pytest.mark.drill("K2")
@pytest.mark.parametrize("name", BOUNDS)
def test_exact_at_its_bounds_for_pictures_that_drive_every_transform_to_its_ends(name: str) -> None:
    supported(name)
    print("seed", seed := 21)
    rng = np.random.default_rng(seed)
    for (ranges, _), c_in in itertools.product(BOUNDS[name], (16, 70)):
        if not accepts(name, ranges, c_in=c_in):
            continue
        # rows, columns, checkers and stripes of three of the lowest and highest code, with all shifts: among them are the signs
        # of every row of B, as the weights below have those of every row of G
        y, x = np.mgrid[:10, :19]
        patterns = [y % 2, x % 2, (x + y) % 2, (x // 2 + y // 2) % 2, x % 3 == 0, y % 3 == 0, rng.integers(0, 2, y.shape)]
        u, v = np.mgrid[:3, :3]
        signs = [0 * u, u % 2, v % 2, (u + v) % 2, 0 * u + 1]
        kernels = np.stack([signs[o % len(signs)] for o in range(20)])
        weights = np.repeat(np.where(kernels, ranges[2], ranges[3])[:, None], c_in, axis=1).astype(np.int16)
        for pattern in patterns:
            picture = np.repeat(np.where(pattern, ranges[0], ranges[1])[..., None], c_in, axis=2).astype(np.int16)
            agree(name, picture, weights, ranges)
            mixed = np.where(rng.integers(0, 2, picture.shape), picture, ranges[1]).astype(np.int16)
            agree(name, mixed, rng.permuted(weights, axis=1), ranges)


@pytest.mark.drill("K2")
def test_vpmaddubsw_would_saturate_where_it_is_not_used() -> None:
    # 2 * 255 * 127 = 64770 > 32767: in int16 this pixel's sum would be 32767 per pair
    supported("conv_u8s16_avx2")
    ranges = (0, 255, -128, 127)
    assert not accepts("conv_u7s8_avx2", ranges)
    picture, weights = np.full((3, 9, 32), 255, np.int16), np.full((8, 32, 3, 3), 127, np.int16)
    sums = extension.run_row_kernel("conv_u8s16_avx2", picture, weights, ranges)[0]
    assert sums[1, 4, 0] == 9 * 32 * 255 * 127


@pytest.mark.parametrize("name", KERNELS)
def test_zero_points_and_padding(name: str) -> None:
    # code 0 is stored as -a_min; a padded pixel is code 0, so a picture of zeros sums to zero and borders lose taps
    supported(name)
    for low in (-1, -2, -3):
        ranges = (low, 1, -1, 1)
        if not accepts(name, ranges):
            continue
        zeros, ones = np.zeros((5, 7, 64), np.int16), np.ones((16, 64, 3, 3), np.int16)
        assert not extension.run_row_kernel(name, zeros, ones, ranges)[0].any()
        lowest = extension.run_row_kernel(name, np.full((5, 7, 64), low, np.int16), ones, ranges)[0]
        assert (lowest[[0, 0, 2], [0, 3, 3], [0, 5, 15]] == 64 * low * np.array([4, 6, 9])).all()


@pytest.mark.parametrize(
    ("ranges", "first"),
    [
        ((0, 3, -2, 1), ("wino4x3", "wino2x4")),
        ((0, 7, -4, 3), ("wino2x4", "wino2x4")),
        ((0, 15, -2, 1), ("wino2x3", "wino2x3")),
        ((0, 15, -8, 7), ("wino2x2", "wino2x2")),
        ((0, 63, -32, 31), ("u8s8", "u7s8")),
        ((0, 255, -128, 127), ("u8s8", "u8s16")),
        ((0, 255, -255, 255), ("u8s16", "u8s16")),
    ],
)
def test_few_bits_go_to_the_largest_tiles(ranges: Ranges, first: tuple[str, str]) -> None:
    for isa, expected in zip(("avx512", "avx2"), first, strict=True):
        names = [name for name, kernel in KERNELS.items() if kernel["isa"] == isa]
        if not names:
            pytest.skip("the extension was not built for x86-64")
        chosen = next(name for name in names if accepts(name, ranges))
        assert expected in chosen, f"{isa}: {chosen}"
