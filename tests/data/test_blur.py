"""The blurs against OpenCV's and scikit-image's own: equal but for values in the middle between two levels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage.filters import gaussian

from qsr.data.blur import defocus_blur, disk, gaussian_blur
from qsr.data.corrupt import SETTINGS

SHAPES = [(1, 1), (2, 3), (1, 40), (70, 1), (33, 48)]
SIGMAS = sorted({sigma for table in SETTINGS.values() for sigma in table["gaussian_blur"]})
LENSES = sorted({lens for table in SETTINGS.values() for lens in table["defocus_blur"]})


def opencv_s_disk(radius: float, sigma: float) -> np.ndarray:
    half, size = (8, 3) if radius <= 8 else (radius, 5)
    x, y = np.meshgrid(np.arange(-half, half + 1), np.arange(-half, half + 1))
    inside = np.array(x**2 + y**2 <= radius**2, np.float64)
    return cv2.GaussianBlur(inside / inside.sum(), (size, size), sigmaX=sigma)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("sigma", SIGMAS)
def test_gaussian_blur_is_scikit_image_s(shape, sigma, picture):
    image = picture(*shape)
    expected = 255 * gaussian(image / 255, sigma, channel_axis=-1)
    assert np.abs(gaussian_blur(image, sigma) - expected).max() < 0.01


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("lens", LENSES)
def test_defocus_blur_is_opencv_s(shape, lens, picture):
    image = picture(*shape)
    expected = cv2.filter2D(image.astype(np.float64), -1, opencv_s_disk(*lens))
    assert np.abs(defocus_blur(image, *lens) - expected).max() < 0.01


@pytest.mark.parametrize("lens", LENSES)
def test_weights_are_opencv_s_and_add_up_to_1_but_for_the_two_largest(lens):
    weights = disk(*lens)
    assert np.allclose(weights, opencv_s_disk(*lens), atol=1e-12)
    assert weights.sum() == pytest.approx({8: 1.012975, 10: 1.010786}.get(lens[0], 1.0), abs=1e-6)


def test_by_hand():
    # radius 1.5 is 3 x 3 equal weights, and an edge of sigma 0.1 is none
    image = np.zeros((3, 3, 3), np.uint8)
    image[1, 1] = 90
    assert defocus_blur(image, 1.5, 0.1)[:, :, 0] == pytest.approx(
        np.array([[40, 20, 40], [20, 10, 20], [40, 20, 40]]), abs=1e-3
    )
    row = np.zeros((1, 9, 3), np.uint8)
    row[0, 4] = 255
    found = gaussian_blur(row, 1.0)[0, :, 0]
    assert found[4] / found[3] == pytest.approx(np.exp(0.5), abs=1e-4)
    assert found.sum() == pytest.approx(255, abs=0.01)


def test_a_grey_area_stays_as_it_is():
    for level in range(256):
        grey = np.full((4, 5, 3), level, np.uint8)
        for sigma in SIGMAS:
            assert (np.floor(gaussian_blur(grey, sigma) + 0.5) == level).all()
        for lens in LENSES[:-2]:
            assert (np.floor(defocus_blur(grey, *lens) + 0.5) == level).all()


def test_sums_are_whole_numbers(picture):
    image = picture(9, 12)
    for found, bits in ((gaussian_blur(image, 0.7), 44), (defocus_blur(image, 4, 0.5), 22)):
        assert found.dtype == np.float64
        assert (found * 2.0**bits % 1 == 0).all()
