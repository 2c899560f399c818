from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsr.errors import DataError
from qsr.evaluate import metrics
from qsr.evaluate.protocol import Protocol


def picture(seed: int, height: int = 24, width: int = 31) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_luma_of_black_white_and_primaries():
    colours = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    expected = [16.0, 235.0, 81.481, 144.553, 40.966]
    assert metrics.luma(colours)[0] == pytest.approx(expected, abs=1e-12)
    assert list(metrics.luma(colours, round_y=True)[0]) == [16, 235, 81, 145, 41]


def test_psnr_of_a_known_error():
    truth = np.full((20, 20, 3), 100, np.uint8)
    # one grey level is 219/255 of a luma level
    assert metrics.psnr(truth, truth + 1, 0, y=False) == pytest.approx(20 * math.log10(255), abs=1e-12)
    assert metrics.psnr(truth, truth + 1, 0) == pytest.approx(20 * math.log10(255 * 255 / 219), abs=1e-12)


def test_equal_pictures():
    a = picture(0)
    assert metrics.psnr(a, a, 2) == math.inf
    assert metrics.ssim(a, a, 2) == pytest.approx(1, abs=1e-12)


def test_ssim_of_two_flat_pictures_is_its_luminance_term():
    a, b = np.full((11, 11, 3), 50, np.uint8), np.full((11, 11, 3), 60, np.uint8)
    c1 = 6.5025
    expected = (2 * 50 * 60 + c1) / (50**2 + 60**2 + c1)
    assert metrics.ssim(a, b, 0, y=False) == pytest.approx(expected, abs=1e-9)


def test_ssim_equals_the_definition_written_as_loops():
    a, b = picture(1, 14, 13), picture(2, 14, 13)
    offsets = np.arange(11) - 5
    window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
    window /= window.sum()
    ya, yb = metrics.luma(a), metrics.luma(b)
    values = []
    for row in range(4):
        for column in range(3):
            pa, pb = ya[row : row + 11, column : column + 11], yb[row : row + 11, column : column + 11]
            ma, mb = (window * pa).sum(), (window * pb).sum()
            va, vb = (window * pa**2).sum() - ma**2, (window * pb**2).sum() - mb**2
            cov = (window * pa * pb).sum() - ma * mb
            values.append((2 * ma * mb + 6.5025) * (2 * cov + 58.5225) / ((ma**2 + mb**2 + 6.5025) * (va + vb + 58.5225)))
    assert metrics.ssim(a, b, 0) == pytest.approx(np.mean(values), abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 4))
def test_only_what_is_inside_the_crop_counts(seed, crop):
    a, b = picture(seed), picture(seed + 1)
    spoiled = a.copy()
    if crop:
        spoiled[:crop], spoiled[-crop:], spoiled[:, :crop], spoiled[:, -crop:] = 0, 255, 9, 77
    inner = np.s_[crop : a.shape[0] - crop, crop : a.shape[1] - crop]
    assert metrics.psnr(spoiled, b, crop) == metrics.psnr(a[inner], b[inner], 0)
    assert metrics.ssim(spoiled, b, crop) == metrics.ssim(a[inner], b[inner], 0)
    assert metrics.psnr(a, b, crop) == metrics.psnr(b, a, crop)


def test_compare_follows_the_protocol():
    a, b = picture(3), picture(4)
    rgb = Protocol(scale=2, crop=3, y_channel=False)
    rounded = Protocol(scale=2, crop=3, round_y=True)
    assert metrics.compare(a, b, rgb) == (metrics.psnr(a, b, 3, y=False), metrics.ssim(a, b, 3, y=False))
    assert metrics.compare(a, b, rounded) == (metrics.psnr(a, b, 3, round_y=True), metrics.ssim(a, b, 3, round_y=True))
    assert metrics.compare(a, b, rounded) != metrics.compare(a, b, Protocol(scale=2, crop=3))


@pytest.mark.parametrize(
    ("a", "b", "crop", "words"),
    [
        (picture(0), picture(0), 12, "too small"),
        (picture(0), picture(0), 500, "too small"),
        (picture(0), picture(0), -1, "too small"),
        (picture(0), picture(0, 24, 30), 0, "different size: 31x24 and 30x24"),
        (picture(0).astype(np.float32), picture(0), 0, "expected uint8"),
        (picture(0)[..., 0], picture(0)[..., 0], 0, "expected uint8"),
    ],
)
@pytest.mark.parametrize("metric", [metrics.psnr, metrics.ssim])
def test_what_cannot_be_compared_is_an_error_and_never_nan(metric, a, b, crop, words):
    with pytest.raises(DataError, match=words):
        metric(a, b, crop)


def test_ssim_needs_a_whole_window():
    a = picture(0, 14, 40)
    assert metrics.psnr(a, picture(1, 14, 40), 2) > 0
    with pytest.raises(DataError, match="leave 11 or more"):
        metrics.ssim(a, a, 2)
