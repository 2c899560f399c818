"""Every row kernel in csrc/kernels/table.inc against exact sums: remainders of channels and pixels, all codes, their extremes.

What a kernel accepts is asked of the kernel, so a new one is tested as soon as it is in the table.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from qsr.errors import FormatError
from qsr.runtime import conv2d_int

extension = pytest.importorskip("qsr._kernels", reason="the extension was not built", exc_type=ImportError)

KERNELS = {kernel["name"]: kernel for kernel in extension.row_kernels()}
NAMES = [
    pytest.param(name, marks=pytest.mark.skipif(not kernel["supported"], reason=f"this processor has no {kernel['isa']}"))
    for name, kernel in KERNELS.items()
]
CHANNELS = (*range(1, 18), 31, 32, 33, 60, 63, 64, 65)
SIDES = ((1, 1), (3, 3), (5, 5))
FEW = 45  # channels that no kernel leaves to another because they are too few to pay

Ranges = tuple[int, ...]  # a_min, a_max, w_min, w_max; () for float


def ranges_of(name: str) -> list[Ranges]:
    """Ranges of codes that occur in networks, and the widest ones that the contract knows."""
    if KERNELS[name]["input"] == "float":
        return [()]
    if KERNELS[name]["input"] == "bits":
        return [(-1, 1, -1, 1)]
    activations = [(0, 2**bits - 1) for bits in range(1, 9)] + [
        (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in range(2, 9)
    ]
    activations += [(1 - 2**bits, 2**bits - 1) for bits in range(1, 8)]
    weights = [(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in range(2, 9)]
    weights += [(1 - 2**bits, 2**bits - 1) for bits in range(1, 9)] + [(-256, 255)]
    return [(*a, *w) for a, w in itertools.product(activations, weights)]


def codes(rng: np.random.Generator, name: str, shape: tuple[int, ...], low: int, high: int, how: str = "all") -> NDArray[Any]:
    """`how`: all codes, only the two `ends`, or one end everywhere (low, high)."""
    if how in ("low", "high"):
        return np.full(shape, low if how == "low" else high, np.int16)
    ends = how == "ends" or KERNELS[name]["input"] == "bits"
    return rng.choice([low, high], shape).astype(np.int16) if ends else rng.integers(low, high, shape, np.int16, endpoint=True)


def exact(picture: NDArray[Any], weights: NDArray[Any]) -> NDArray[np.float64]:
    """Zero-padded sums, (H, W, C) x (O, C, kh, kw) -> (H, W, O); float64 holds every sum of codes exactly."""
    height, width, _ = picture.shape
    kh, kw = weights.shape[2:]
    padded = np.pad(picture.astype(np.float64), ((kh // 2, kh // 2), (kw // 2, kw // 2), (0, 0)))
    sums = np.zeros((height, width, weights.shape[0]))
    for u, v in itertools.product(range(kh), range(kw)):
        sums += padded[u : u + height, v : v + width] @ weights[:, :, u, v].astype(np.float64).T
    return sums


def check(name: str, picture: NDArray[Any], weights: NDArray[Any], ranges: Ranges) -> None:
    found, wanted = extension.run_row_kernel(name, picture, weights, ranges)[0], exact(picture, weights)
    if KERNELS[name]["input"] == "float":
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
        return
    assert found.dtype == np.int32
    if not np.array_equal(found, wanted):
        at, count = tuple(np.argwhere(found != wanted)[0]), np.count_nonzero(found != wanted)
        case = f"{picture.shape} x {weights.shape}, codes {ranges}"
        pytest.fail(f"{case}: {count} of {found.size} sums differ, at {at} found {found[at]}, expected {wanted[at]:.0f}")


def accepted(name: str, c_in: int, c_out: int, sides: tuple[int, int], choices: list[Ranges]) -> list[Ranges]:
    dtype = np.float32 if KERNELS[name]["input"] == "float" else np.int16
    picture, weights = np.zeros((1, 1, c_in), dtype), np.zeros((c_out, c_in, *sides), dtype)
    return [ranges for ranges in choices if extension.row_kernel_accepts(name, picture, weights, ranges)]


def shapes(rng: np.random.Generator) -> Iterator[tuple[int, int, int, int]]:
    """Channels in and out, height, width: every number of channels on both sides, every width from 1 to 40."""
    widths = itertools.cycle(range(1, 41))
    for i, channels in enumerate(CHANNELS):
        other = int(rng.choice(CHANNELS))
        yield channels, other, 1 + i % 5, next(widths)
        yield other, channels, 1 + (i + 2) % 5, next(widths)
    yield from ((64, 64, 3, 100), (32, 32, 2, 67), (48, 48, 7, 24))


@pytest.mark.drill("K1")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sides", SIDES, ids=str)
def test_remainders_of_channels_and_pixels(name: str, sides: tuple[int, int]) -> None:
    """K1."""
    print("seed", seed := sum(name.encode()) + sides[0])
    rng, choices, ran = np.random.default_rng(seed), ranges_of(name), 0
    for c_in, c_out, height, width in shapes(rng):
        possible = accepted(name, c_in, c_out, sides, choices)
        if not possible:
            continue
        ranges = possible[rng.integers(len(possible))]
        if ranges:
            picture = codes(rng, name, (height, width, c_in), *ranges[:2])
            weights = codes(rng, name, (c_out, c_in, *sides), *ranges[2:])
        else:
            picture = rng.standard_normal((height, width, c_in)).astype(np.float32)
            weights = rng.standard_normal((c_out, c_in, *sides)).astype(np.float32)
        check(name, picture, weights, ranges)
        ran += 1
    if ran == 0:
        pytest.skip(f"{name} leaves {sides[0]}x{sides[1]} to other kernels")


@pytest.mark.drill("K1")
@pytest.mark.nightly
@pytest.mark.parametrize("name", NAMES)
def test_k1_every_pair_of_channels(name: str) -> None:
    """K1 in full: every number of channels in with every number out, codes of every range, widths that are not chosen."""
    print("seed", seed := int(np.random.default_rng().integers(2**32)))
    rng, choices = np.random.default_rng(seed), ranges_of(name)
    for c_in, c_out, sides in itertools.product(CHANNELS, CHANNELS, SIDES):
        height, width = int(rng.integers(1, 10)), int(rng.integers(1, 70))
        for ranges in accepted(name, c_in, c_out, sides, choices)[:: max(1, len(choices) // 5)]:
            if ranges:
                picture, weights = (
                    codes(rng, name, (height, width, c_in), *ranges[:2]),
                    codes(rng, name, (c_out, c_in, *sides), *ranges[2:]),
                )
            else:
                picture = rng.standard_normal((height, width, c_in)).astype(np.float32)
                weights = rng.standard_normal((c_out, c_in, *sides)).astype(np.float32)
            check(name, picture, weights, ranges)


@pytest.mark.drill("K2")
@pytest.mark.drill("K1")
@pytest.mark.parametrize("name", NAMES)
def test_all_codes_and_their_extremes(name: str) -> None:
    """K1, K2: all ranges of codes, with activations and weights at their ends."""
    if KERNELS[name]["input"] == "float":
        pytest.skip("floats have no codes")
    print("seed", seed := sum(name.encode()))
    rng, ran = np.random.default_rng(seed), 0
    for sides in ((3, 3), (1, 1)):
        for ranges in accepted(name, FEW, 19, sides, ranges_of(name)):
            for a_how, w_how in (
                ("all", "all"),
                ("ends", "ends"),
                ("high", "low"),
                ("low", "high"),
                ("high", "high"),
                ("low", "low"),
            ):
                picture = codes(rng, name, (3, 9, FEW), *ranges[:2], how=a_how)
                check(name, picture, codes(rng, name, (19, FEW, *sides), *ranges[2:], how=w_how), ranges)
                ran += 1
    assert ran >= 6, f"{name} accepts nothing that was tried"


@pytest.mark.drill("K2")
@pytest.mark.parametrize("name", NAMES)
def test_the_largest_sums_that_are_accepted(name: str) -> None:
    """K2."""
    # a kernel's own bounds (bytes, int16 in between) are where it stops accepting more channels
    if KERNELS[name]["input"] == "float":
        pytest.skip("floats do not overflow")
    rng, limit, ran = np.random.default_rng(3), 9000, 0
    for sides in ((3, 3), (1, 1)):
        possible = accepted(name, FEW, 1, sides, ranges_of(name))
        widest = sorted(possible, key=lambda r: max(-r[0], r[1]) * max(-r[2], r[3]))[-1:]
        steepest = sorted(possible, key=lambda r: r[1] - r[0] + r[3] - r[2])[-1:]
        for ranges in {*widest, *steepest, *possible[:1]}:
            low, high = FEW, limit + 1  # accepts low, not high
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if accepted(name, middle, 1, sides, [ranges]) else (low, middle)
            for a_how, w_how in (("high", "high"), ("high", "low"), ("low", "low"), ("low", "high"), ("ends", "ends")):
                picture = codes(rng, name, (3, 3, low), *ranges[:2], how=a_how)
                check(name, picture, codes(rng, name, (2, low, *sides), *ranges[2:], how=w_how), ranges)
                ran += 1
    assert ran, f"{name} accepts nothing that was tried"


@pytest.mark.drill("K2")
def test_sums_beyond_int32_are_refused() -> None:
    """K2: the largest K that int32 holds, and one more."""
    name = "conv_u8s16_portable"
    most = (2**31 - 1) // (255 * 256)
    for channels in (most, most + 1):
        picture, weights = np.full((1, 1, channels), 255, np.int16), np.full((1, channels, 1, 1), -256, np.int16)
        if channels == most:
            check(name, picture, weights, (0, 255, -256, 255))
        else:
            assert not extension.row_kernel_accepts(name, picture, weights, (0, 255, -256, 255))
            with pytest.raises(FormatError, match="32897 terms x 255 x 256"):
                extension.run_row_kernel(name, picture, weights, (0, 255, -256, 255))


@pytest.mark.drill("K1")
@pytest.mark.parametrize("name", NAMES)
def test_agrees_with_the_reference_of_the_runtime(name: str) -> None:
    if KERNELS[name]["input"] == "float":
        pytest.skip("integers only")
    print("seed", seed := 11)
    rng = np.random.default_rng(seed)
    fits = [r for r in accepted(name, FEW, 18, (3, 3), ranges_of(name)) if r[1] < 128 and r[2] >= -128 and r[3] < 128]
    for ranges in fits[:: max(1, len(fits) // 10)]:
        picture, weights = codes(rng, name, (5, 21, FEW), *ranges[:2]), codes(rng, name, (18, FEW, 3, 3), *ranges[2:])
        wanted = conv2d_int(picture.transpose(2, 0, 1)[None].astype(np.int8), weights.astype(np.int8), padding=1)
        found = extension.run_row_kernel(name, picture, weights, ranges)[0]
        np.testing.assert_array_equal(found, wanted[0].transpose(1, 2, 0), err_msg=str(ranges))
    if not fits:
        pytest.skip("all of its 3x3 convolutions have wider codes")
