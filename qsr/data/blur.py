"""ImageNet-C's two blurs, equal to the bit on every machine.

Weights are whole numbers of 2^-22, so that all products and sums with uint8 are exact, in whatever order they are added; the
last bit of exp, which differs between machines, is lost in their rounding. They differ from float filters by a level where a
value lies within 0.01 of the middle between two.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

_BITS = 22


def gaussian_blur(picture: np.ndarray, sigma: float) -> np.ndarray:
    """(h, w, 3) uint8 -> (h, w, 3) float64 in levels, not rounded.

    Cut at 4 sigma, border pixels repeated: what skimage.filters.gaussian does when nothing is said, as ImageNet-C says nothing.
    """
    taps = _whole(_gaussian(sigma, int(4 * sigma + 0.5)))
    tall = _filtered(picture, taps[:, None], "edge")
    return _filtered(tall, taps[None, :], "edge") / (1 << 2 * _BITS)


def defocus_blur(picture: np.ndarray, radius: float, sigma: float) -> np.ndarray:
    """(h, w, 3) uint8 -> (h, w, 3) float64 in levels, not rounded: a disk of `radius` whose edge is smoothed by `sigma`.

    Mirrored without repeating the border pixel (reflect-101), as OpenCV does when nothing is said.
    """
    return _filtered(picture, _whole(disk(radius, sigma)), "reflect") / (1 << _BITS)


def disk(radius: float, sigma: float) -> np.ndarray:
    """ImageNet-C's lens: a disk's points on a 17 x 17 grid, smoothed by 3 x 3 taps; above radius 8 a tight grid and 5 x 5.

    The smoothing is mirrored at the grid's border: disks that reach it (radius 8 and 10) get weights of sum 1.01, so that
    defocus also brightens, there as here.
    """
    half, reach = (8, 1) if radius <= 8 else (int(radius), 2)
    axis = np.arange(-half, half + 1)
    inside = (axis[:, None] ** 2 + axis[None, :] ** 2 <= radius**2)[:, :, None]
    taps = _gaussian(sigma, reach)
    return _filtered(inside / inside.sum(), taps[:, None] * taps, "reflect")[:, :, 0]


def _gaussian(sigma: float, reach: int) -> np.ndarray:
    taps = np.array([math.exp(-0.5 * (k / sigma) ** 2) for k in range(-reach, reach + 1)])
    return taps / taps.sum()


def _whole(weights: np.ndarray) -> np.ndarray:
    return np.rint(weights * (1 << _BITS)).astype(np.int64)


def _filtered(image: np.ndarray, kernel: np.ndarray, border: Literal["edge", "reflect"]) -> np.ndarray:
    # (h, w, c) correlated with a (2a + 1, 2b + 1) kernel, tap by tap; float64 holds 8 bits of level and two axes' 22 of weight
    height, width = image.shape[:2]
    a, b = kernel.shape[0] // 2, kernel.shape[1] // 2
    padded = np.pad(image, ((a, a), (b, b), (0, 0)), mode=border)
    total = np.zeros(image.shape, kernel.dtype)
    for y, x in np.argwhere(kernel):
        total += kernel[y, x] * padded[y : y + height, x : x + width]
    return total
