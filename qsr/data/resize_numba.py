"""resize.py's two weighted sums as compiled loops; imported only when numba pays.

`fastmath` stays off: the additions must happen in the order of the taps, as in resize.py, and a product must not be
fused with the following addition. Then both give the same bits (tests/data/test_resize.py).
"""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def weighted_rows(x: np.ndarray, weights: np.ndarray, index: np.ndarray) -> np.ndarray:
    """x (h, n) uint8 or float64, weights and index (out, taps) -> (out, n) float64: sum over taps of w * x[index]."""
    out = np.empty((weights.shape[0], x.shape[1]), np.float64)
    for i in range(weights.shape[0]):
        row = out[i]
        first = x[index[i, 0]]
        for j in range(row.size):
            row[j] = weights[i, 0] * first[j]
        for k in range(1, weights.shape[1]):
            source, weight = x[index[i, k]], weights[i, k]
            for j in range(row.size):
                row[j] += weight * source[j]
    return out


@numba.njit(cache=True, nogil=True)
def weighted_columns(x: np.ndarray, weights: np.ndarray, index: np.ndarray) -> np.ndarray:
    """x (h, w, c) uint8 or float64, weights and index (out, taps) -> (h, out, c) float64."""
    out = np.empty((x.shape[0], weights.shape[0], x.shape[2]), np.float64)
    for i in range(x.shape[0]):
        for j in range(weights.shape[0]):
            for c in range(x.shape[2]):
                total = weights[j, 0] * x[i, index[j, 0], c]
                for k in range(1, weights.shape[1]):
                    total += weights[j, k] * x[i, index[j, k], c]
                out[i, j, c] = total
    return out
