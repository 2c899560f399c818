"""The operations without weights, in plain numpy, as ops.py defines them; all on feature maps (h, w, c) of float32."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

ERF_END = 4.0  # beyond it 1 - erf is below 1.6e-8
ERF_TERMS = 26


def shuffle(x: Floats, factor: int) -> Floats:
    """PixelShuffle: (h, w, c f^2) -> (f h, f w, c); channel (c f + dy) f + dx goes to (y f + dy, x f + dx)."""
    h, w, channels = x.shape
    c = channels // factor**2
    grid = x.reshape(h, w, c, factor, factor)  # (y, x, c, dy, dx)
    return np.ascontiguousarray(grid.transpose(0, 3, 1, 4, 2)).reshape(h * factor, w * factor, c)


def repeated(x: Floats, factor: int) -> Floats:
    """(h, w, c) -> (h, w, f c): the channels f times side by side."""
    return np.tile(x, factor)


def averaged(x: Floats, factor: int) -> Floats:
    """(h, w, f c) -> (h, w, c): the f parts of the channels added in their order, over f."""
    h, w, channels = x.shape
    parts = x.reshape(h, w, factor, channels // factor)
    total = parts[:, :, 0]
    for part in range(1, factor):
        total = total + parts[:, :, part]
    result: Floats = total / np.float32(factor)
    return result


def depthwise(x: Floats, weight: Floats, bias: Floats) -> Floats:
    """x (h, w, c), weight (c, kh, kw), bias (c,) -> (h, w, c), zeros around. Taps are added in their order: no tile matters."""
    (h, w, _), (kh, kw) = x.shape, weight.shape[1:]
    padded = np.pad(x, ((kh // 2, kh // 2), (kw // 2, kw // 2), (0, 0)))
    total = np.zeros_like(x)
    for u in range(kh):
        for v in range(kw):
            total += padded[u : u + h, v : v + w] * weight[:, u, v]
    return total + bias


def bilinear(x: Floats, factor: int) -> Floats:
    """(h, w, c) -> (f h, f w, c): half-pixel centres, the border repeated."""
    return _enlarge(_enlarge(x, factor, 0), factor, 1)


def _enlarge(x: Floats, factor: int, axis: int) -> Floats:
    """One axis. Output f i + p lies at i + (p + 1/2) / f - 1/2: the weights depend on p only, wherever a tile begins."""
    size = x.shape[axis]
    here = np.arange(size)
    shape = list(x.shape)
    shape[axis : axis + 1] = [size, factor]
    out = np.empty(shape, np.float32)
    for phase in range(factor):
        place = (phase + 0.5) / factor - 0.5
        first = here - 1 if place < 0 else here
        share = np.float32(place % 1.0)  # of the second neighbour
        low, high = (np.take(x, np.clip(index, 0, size - 1), axis) for index in (first, first + 1))
        out[(slice(None),) * (axis + 1) + (phase,)] = low * (1 - share) + high * share
    return out.reshape(*x.shape[:axis], size * factor, *x.shape[axis + 1 :])


def prelu(x: Floats, slope: Floats, before: Floats, after: Floats) -> Floats:
    """t = x + before;  (t if t >= 0 else slope t) + after."""
    t = x + before
    result: Floats = np.where(t >= 0, t, slope * t) + after
    return result


def norm(x: Floats, weight: Floats, bias: Floats, eps: float) -> Floats:
    """Layer norm over the last axis; the variance is over n."""
    centred = x - x.mean(-1, keepdims=True)
    variance = np.square(centred).mean(-1, keepdims=True)
    result: Floats = centred / np.sqrt(variance + np.float32(eps)) * weight + bias
    return result


def softmax(x: Floats) -> Floats:
    """Over the last axis."""
    powers = np.exp(x - x.max(-1, keepdims=True))
    result: Floats = powers / powers.sum(-1, keepdims=True)
    return result


def gelu(x: Floats) -> Floats:
    """x (1 + erf(x / sqrt 2)) / 2, the exact one up to `erf`'s error."""
    result: Floats = 0.5 * x * (1 + erf(x * np.float32(math.sqrt(0.5))))
    return result


@cache
def _erf_series() -> tuple[float, ...]:
    """Chebyshev coefficients of erf(x) on [0, ERF_END], from its values at the Chebyshev points."""
    nodes = [math.pi * (k + 0.5) / ERF_TERMS for k in range(ERF_TERMS)]
    values = [math.erf((math.cos(node) + 1) * ERF_END / 2) for node in nodes]
    sums = [sum(v * math.cos(j * node) for v, node in zip(values, nodes)) for j in range(ERF_TERMS)]
    return tuple(total * (1 if j == 0 else 2) / ERF_TERMS for j, total in enumerate(sums))


def erf(x: NDArray[Any]) -> Floats:
    """The error function, within 1e-7: a Chebyshev series in float64 (within 2e-8 with the cut), rounded to float32.

    numpy has none, scipy is no dependency of the runtime, and math.erf takes one number at a time.
    """
    t = np.minimum(np.abs(x.astype(np.float64)), ERF_END) * (2 / ERF_END) - 1  # in [-1, 1]
    first, second = np.zeros_like(t), np.zeros_like(t)
    for coefficient in reversed(_erf_series()[1:]):  # Clenshaw's recurrence
        first, second = 2 * t * first - second + coefficient, first
    size = t * first - second + _erf_series()[0]
    result: Floats = np.copysign(size, x).astype(np.float32)
    return result
