from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from upscale_fakes import Nearest, colours, larger

from qsr.upscale.enlarge import Way, enlarge, enlarge_alpha, from_output, self_ensemble


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("ensemble", [False, True])
@pytest.mark.parametrize("scale", [2, 3])
def test_colours_go_through_exactly(channels: int, dtype: type, ensemble: bool, scale: int) -> None:
    pixels = colours(7, 5, channels, dtype)
    made = enlarge(Nearest(scale), pixels, Way(ensemble=ensemble))
    assert made.dtype == dtype
    assert np.array_equal(made, larger(pixels, scale))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_alpha_is_bicubic_and_colours_do_not_see_it(network: Nearest, dtype: type) -> None:
    pixels = colours(12, 9, 4, dtype)
    made = enlarge(network, pixels)
    assert np.array_equal(made[:, :, :3], larger(pixels[:, :, :3]))
    alpha = Image.fromarray(pixels[:, :, 3].astype(np.float32)).resize((18, 24), Image.Resampling.BICUBIC)
    assert np.abs(made[:, :, 3] - np.clip(np.asarray(alpha), 0, np.iinfo(dtype).max)).max() <= 1
    assert enlarge(network, colours(12, 9, 2, dtype)).shape == (24, 18, 2)


@pytest.mark.parametrize("value", [0, 1, 254, 255])
def test_alpha_that_is_the_same_everywhere_stays_so(value: int) -> None:
    assert (enlarge_alpha(np.full((3, 4), value, np.uint8), 4) == value).all()


def test_alpha_does_not_wrap_around() -> None:
    edge = np.zeros((8, 8), np.uint16)
    edge[:, 4:] = 65535
    made = enlarge_alpha(edge, 2)  # bicubic swings over on both sides
    assert (made[:, :6] < 6000).all()
    assert (made[:, -6:] > 60000).all()


class Tilting(Nearest):
    """Brighter to the right: what a mean of all eight views evens out, if each is turned back rightly."""

    def rows(self, source, width, height, tile="auto", depth=None):
        for band in super().rows(source, width, height, tile, depth):
            ramp = np.linspace(0, 0.1, band.shape[1], dtype=np.float32)
            yield np.clip(band + ramp[None, :, None], 0, 1)


def test_the_ensemble_is_the_mean_of_all_views_turned_back() -> None:
    x = np.full((6, 6, 3), 0.5, np.float32)
    x[1, 2] = 0.25
    y = self_ensemble(Tilting(), x, Way(ensemble=True))
    assert np.abs(y - larger(x) - 0.05).max() < 1e-6


def test_pixels_are_counted(network: Nearest) -> None:
    for way in (Way(), Way(ensemble=True)):
        ticks: list[int] = []
        enlarge(network, colours(6, 4), way, ticks.append)
        assert sum(ticks) == 12 * 8


def test_grey_is_the_mean_rounded_to_the_nearest() -> None:
    made = np.array([[[1, 1, 2], [1, 2, 2], [255, 255, 255], [0, 0, 1]]], np.uint8)
    assert from_output(made, 1, np.dtype(np.uint8))[0, :, 0].tolist() == [1, 2, 255, 0]
    floats = made.astype(np.float32) / 255
    assert from_output(floats, 2, np.dtype(np.uint16))[0, :, 0].tolist() == [343, 428, 65535, 86]
