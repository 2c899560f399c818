"""Bicubic resizing that equals MATLAB's `imresize` on uint8 pictures, bit for bit.

MATLAB resizes the rows' axis first, rounds and clips to uint8, and only then the columns' axis (algorithms.md 6).
Ports that keep floats in between differ by one or two levels in 10-20 % of the pixels; `mode="float"` is their way.
Cubic kernel with a = -0.5, widened by 1/scale when shrinking (antialiasing), symmetric borders.

Two implementations with the same order of additions, so the same bits: numpy, and numba for large pictures.

>>> degrade(np.full((6, 9, 3), 7, np.uint8), 3).shape
(2, 3, 3)
"""

from __future__ import annotations

import math
import sys
from fractions import Fraction
from functools import lru_cache
from types import ModuleType
from typing import Literal

import numpy as np

Backend = Literal["auto", "numpy", "numba"]
Mode = Literal["matlab", "float"]

# Importing numba and loading the compiled loops costs about a second, which numpy needs for a few such pictures.
_NUMBA_PAYS_FROM = 4_000_000
KERNEL_WIDTH = 4.0


def imresize(image: np.ndarray, scale: float | Fraction, mode: Mode = "matlab", backend: Backend = "auto") -> np.ndarray:
    """Resize (h, w, c) uint8 to (ceil(scale h), ceil(scale w), c) uint8.

    `mode="matlab"` rounds after each axis (floor(x + 0.5), clipped); `"float"` rounds once at the end.
    Raises ValueError for another shape or dtype, or a scale that is not positive.
    """
    if image.ndim != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ValueError(f"expected (h, w, c) uint8, got shape {image.shape} {image.dtype}")
    if not scale > 0:
        raise ValueError(f"scale must be positive, got {scale}")
    kernels = _kernels(image.size, backend)
    rows = taps(image.shape[0], float(scale))
    columns = taps(image.shape[1], float(scale))
    between = np.uint8 if mode == "matlab" else np.float64
    tall = _along_rows(image, *rows, between, kernels)
    return _along_columns(tall, *columns, np.uint8, kernels)


def degrade(hr: np.ndarray, scale: int, mode: Mode = "matlab", backend: Backend = "auto") -> np.ndarray:
    """The LR picture that belongs to `hr` (h, w, c) uint8: cropped to a multiple of `scale`, shrunk by it."""
    return imresize(modcrop(hr, scale), Fraction(1, scale), mode, backend)


def bicubic_upscale(lr: np.ndarray, scale: int, mode: Mode = "matlab", backend: Backend = "auto") -> np.ndarray:
    """The bicubic baseline: `lr` (h, w, c) uint8 enlarged `scale` times."""
    return imresize(lr, scale, mode, backend)


def modcrop(image: np.ndarray, scale: int) -> np.ndarray:
    """Cut rows below and columns at the right so that both sides are multiples of `scale`; a view."""
    height, width = image.shape[:2]
    return image[: height - height % scale, : width - width % scale]


@lru_cache(maxsize=256)
def taps(length: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights and source positions of one axis, each (ceil(scale length), taps): float64 and int64.

    In MATLAB's 1-based words: u = x / s + (1 - 1/s) / 2, left = floor(u - W/2), P = ceil(W) + 2 taps, weights
    normalised to sum 1, positions mirrored at both ends, taps that are zero everywhere left out.
    """
    out_length = math.ceil(length * scale)
    shrink = min(scale, 1.0)
    width = KERNEL_WIDTH / shrink
    centre = np.arange(1, out_length + 1) / scale + 0.5 * (1 - 1 / scale)  # (out,)
    left = np.floor(centre - width / 2)
    positions = left[:, None] + np.arange(math.ceil(width) + 2)  # (out, taps), 1-based
    weights = shrink * _cubic(shrink * (centre[:, None] - positions))
    weights /= weights.sum(axis=1, keepdims=True)
    mirrored = np.concatenate((np.arange(length), np.arange(length)[::-1]))  # 0 1 2 2 1 0, then again
    index = mirrored[(positions.astype(np.int64) - 1) % (2 * length)]
    used = weights.any(axis=0)
    weights, index = np.ascontiguousarray(weights[:, used]), np.ascontiguousarray(index[:, used])
    weights.flags.writeable = index.flags.writeable = False  # the cache hands them to everyone
    return weights, index


def _cubic(x: np.ndarray) -> np.ndarray:
    a = np.abs(x)
    near = 1.5 * a**3 - 2.5 * a**2 + 1
    far = -0.5 * a**3 + 2.5 * a**2 - 4 * a + 2
    return np.where(a <= 1, near, np.where(a <= 2, far, 0.0))


def _kernels(size: int, backend: Backend) -> ModuleType | None:
    wanted = backend == "numba" or (backend == "auto" and (size >= _NUMBA_PAYS_FROM or "numba" in sys.modules))
    if not wanted:
        return None
    try:
        from qsr.data import resize_numba
    except ImportError:
        if backend == "numba":
            raise
        return None
    return resize_numba


def _along_rows(x: np.ndarray, weights: np.ndarray, index: np.ndarray, dtype: type, kernels: ModuleType | None) -> np.ndarray:
    flat = np.ascontiguousarray(x).reshape(x.shape[0], -1)  # (h, w c)
    if kernels is not None:
        total = kernels.weighted_rows(flat, weights, index)
    else:
        total = weights[:, :1] * flat[index[:, 0]]
        for k in range(1, weights.shape[1]):
            total += weights[:, k : k + 1] * flat[index[:, k]]
    return _rounded(total.reshape(len(weights), *x.shape[1:]), dtype)


def _along_columns(
    x: np.ndarray, weights: np.ndarray, index: np.ndarray, dtype: type, kernels: ModuleType | None
) -> np.ndarray:
    if kernels is not None:
        return _rounded(kernels.weighted_columns(np.ascontiguousarray(x), weights, index), dtype)
    turned = _along_rows(x.transpose(1, 0, 2), weights, index, dtype, None)
    return np.ascontiguousarray(turned.transpose(1, 0, 2))


def _rounded(total: np.ndarray, dtype: type) -> np.ndarray:
    if dtype is np.float64:
        return total
    total += 0.5
    np.floor(total, out=total)
    return np.clip(total, 0, 255, out=total).astype(np.uint8)
