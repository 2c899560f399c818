"""Rows out of bands: the same as out of the whole picture, with little kept, whatever the bands."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qsr.archs import windows
from qsr.errors import DataError
from qsr.runtime.feeder import Feeder, check_picture, reflected


@given(st.integers(1, 60), st.sampled_from((1, 2, 8, 13)))
def test_reflection_is_that_of_the_networks(size: int, window: int) -> None:
    assert reflected(size, window).tolist() == windows.reflected(size, window, torch.device("cpu")).tolist()


@given(st.integers(1, 40), st.integers(1, 9), st.sampled_from((1, 4, 8)), st.integers(0, 2**32 - 1))
def test_rows_are_those_of_the_whole_picture(height: int, width: int, window: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 10, 5)
    picture = rng.integers(0, 256, (height, width, 3), np.uint8)
    whole = picture[reflected(height, window)][:, reflected(width, window)]

    def bands():
        top, number = 0, 0
        buffer = np.empty((9, width, 3), np.uint8)  # filled again and again
        while top < height:
            count = min(sizes[number % len(sizes)], height - top)
            buffer[:count] = picture[top : top + count]
            yield buffer[:count]
            top, number = top + count, number + 1

    feeder = Feeder(bands(), height, width, window)
    first = 0
    while first < len(whole):
        last = int(rng.integers(first + 1, len(whole) + 1))
        assert np.array_equal(feeder.rows(first, last), whole[first:last])
        first = int(rng.integers(first, last + 1))


def test_little_is_kept() -> None:
    feeder = Feeder((np.zeros((10, 4, 3), np.uint8) for _ in range(100)), 1000, 4, 8)
    for first in range(0, 1000 - 40, 20):
        feeder.rows(first, first + 40)
        assert len(feeder._kept) <= 60


BAND = np.zeros((5, 4, 3), np.uint8)


@pytest.mark.parametrize(
    ("bands", "message"),
    [
        ([BAND], "found 5 rows, expected 10"),
        ([], "found 0 rows, expected 10"),
        ([BAND, BAND, BAND], "found more than 10 rows"),
        ([BAND, BAND[:4], BAND], "found more than 10 rows"),
        ([BAND, BAND[:, :3]], "found a band of 3 pixels of uint8, expected 4 pixels of one type"),
        ([BAND, BAND.astype(np.float32)], "found a band of 4 pixels of float32, expected 4 pixels of one type"),
        ([BAND, BAND[..., 0]], "found a grey picture"),
    ],
)
def test_bands_that_do_not_fit(bands, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Feeder(bands, 10, 4, 1).rows(0, 10)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        ([[1, 2]], "found a list, expected a numpy array"),
        (np.zeros((4, 4), np.uint8), r"found a grey picture \(4, 4\).*np.repeat"),
        (np.zeros((4, 4, 1), np.uint8), "found a grey picture"),
        (np.zeros((4, 4, 4), np.uint8), "upscale alpha apart"),
        (np.zeros((1, 3, 4, 4), np.uint8), r"found an array of shape \(1, 3, 4, 4\)"),
        (np.zeros((0, 4, 3), np.uint8), r"found an array of shape \(0, 4, 3\)"),
        (np.zeros((4, 4, 3), np.uint16), "found a picture of uint16, expected uint8, or float32"),
        (np.zeros((4, 4, 3)), "found a picture of float64"),
        (np.full((4, 4, 3), 255, np.float32), r"found numbers from 255.0 to 255.0, expected \[0, 1\] \(divide by 255"),
        (np.full((4, 4, 3), np.nan, np.float32), "found numbers from nan"),
    ],
)
def test_what_is_no_picture(picture, message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_picture(picture)
