"""PSNR and SSIM on uint8 pictures, in float64 throughout (algorithms 6).

Both take pictures of shape (h, w, 3) uint8 RGB of one size. They equal BasicSR's `calculate_psnr` and
`calculate_ssim` and scikit-image's `structural_similarity` with Gaussian weights on the valid region.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from qsr.errors import DataError
from qsr.evaluate.protocol import Protocol

PEAK = 255.0
C1 = (0.01 * PEAK) ** 2
C2 = (0.03 * PEAK) ** 2
WINDOW = 11
SIGMA = 1.5
# BT.601, studio range: Y runs from 16 (black) to 235 (white)
Y_OFFSET = 16.0
Y_WEIGHTS = np.array([65.481, 128.553, 24.966]) / 255.0


def luma(rgb: np.ndarray, *, round_y: bool = False) -> np.ndarray:
    """Y of (h, w, 3) uint8 RGB: float64 (h, w) in [16, 235]; `round_y` rounds half away from zero as MATLAB does."""
    y = Y_OFFSET + rgb.astype(np.float64) @ Y_WEIGHTS
    return np.floor(y + 0.5) if round_y else y


def psnr(a: np.ndarray, b: np.ndarray, crop: int, y: bool = True, *, round_y: bool = False) -> float:
    """Peak signal-to-noise ratio in dB, peak 255; infinite for equal pictures.

    a, b: (h, w, 3) uint8. crop: pixels cut off each side. y: compare luma, else RGB.
    Raises DataError where the shapes differ or nothing is left after the crop.
    """
    first, second = _planes(a, b, crop, y, round_y, smallest=1)
    error = float(np.mean((first - second) ** 2))
    return 10.0 * math.log10(PEAK**2 / error) if error > 0 else math.inf


def ssim(a: np.ndarray, b: np.ndarray, crop: int, y: bool = True, *, round_y: bool = False) -> float:
    """Mean structural similarity (Wang et al. 2004): 11x11 Gaussian of sigma 1.5, biased variances, valid region.

    a, b: (h, w, 3) uint8. For RGB the mean over the three channels. At most 1.
    Raises DataError where the shapes differ or fewer than 11 pixels are left on a side.
    """
    first, second = _planes(a, b, crop, y, round_y, smallest=WINDOW)
    return float(np.mean([_ssim_plane(first[..., c], second[..., c]) for c in range(first.shape[2])]))


def compare(output: np.ndarray, truth: np.ndarray, protocol: Protocol) -> tuple[float, float]:
    """(PSNR, SSIM) of two uint8 pictures under a protocol."""
    settings = {"y": protocol.y_channel, "round_y": protocol.round_y}
    return psnr(output, truth, protocol.crop, **settings), ssim(output, truth, protocol.crop, **settings)


def _planes(a: np.ndarray, b: np.ndarray, crop: int, y: bool, round_y: bool, smallest: int) -> tuple[np.ndarray, np.ndarray]:
    """Checked, cropped, converted: two float64 arrays (h, w, 1 or 3)."""
    for picture in (a, b):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise DataError(f"cannot compare: found {picture.dtype} {picture.shape}, expected uint8 (h, w, 3)")
    if a.shape != b.shape:
        raise DataError(f"cannot compare pictures of different size: {_size(a)} and {_size(b)}")
    height, width = (side - 2 * crop for side in a.shape[:2])
    if crop < 0 or min(height, width) < smallest:
        raise DataError(
            f"picture of {_size(a)} is too small: cutting {crop} px off each side has to leave {smallest} or more",
            hint="use a larger picture or a smaller crop",
        )
    inside = np.s_[crop : crop + height, crop : crop + width]
    if y:
        return luma(a[inside], round_y=round_y)[..., None], luma(b[inside], round_y=round_y)[..., None]
    return a[inside].astype(np.float64), b[inside].astype(np.float64)


def _size(picture: np.ndarray) -> str:
    return f"{picture.shape[1]}x{picture.shape[0]}"


def _ssim_plane(a: np.ndarray, b: np.ndarray) -> float:
    mean_a, mean_b = _blur(a), _blur(b)
    product, squares = mean_a * mean_b, mean_a**2 + mean_b**2
    # the formula needs only the sum of the two variances: four blurs instead of five
    variances = _blur(a**2 + b**2) - squares
    covariance = _blur(a * b) - product
    ssim_map = (2 * product + C1) * (2 * covariance + C2) / ((squares + C1) * (variances + C2))
    return float(ssim_map.mean())


def _blur(plane: np.ndarray) -> np.ndarray:
    """Gaussian mean of every full window: (h, w) float64 -> (h - 10, w - 10)."""
    kernel = cv2.getGaussianKernel(WINDOW, SIGMA, cv2.CV_64F)
    edge = WINDOW // 2
    return cv2.sepFilter2D(np.ascontiguousarray(plane), cv2.CV_64F, kernel, kernel)[edge:-edge, edge:-edge]
