"""The loops behind cpu_kernels.py: fused.py's equations, element by element. Imports numba, so import it late.

Two orders of memory, each with `quantize` (x -> x_hat) and `gradient` (g, x -> dL/dx, dL/dv, dL/dshift):
  planes   flat x; every run of `inner` elements shares shift[run % C]
  columns  x (rows, C); element (r, c) has shift[c]
v, low, high: step size, Qn, Qp. coefficients: (8,) float32 of d in z = (1/2 - |u - round(u)|)^2.
sums: (C,) float64 zeros, filled with dL/dshift.

Clipping is written as comparisons that are false for NaN, so NaN goes through to the loss, where training looks for it.
Sums are float32 within a block and float64 across blocks: fast, and as exact as torch's pairwise sums.
"""

from __future__ import annotations

import numba
import numpy as np

BLOCK = 4096  # elements per partial sum
ROWS = 64  # rows per partial sum

# Reordering is allowed within a sum (that is what vectorises it) and nowhere does it touch the forward's rounding:
# (x + shift) / v has nothing to reorder, and division is never turned into multiplication ("arcp" stays off).
REORDER = {"reassoc", "contract", "nsz"}
compiled = numba.njit(nogil=True, cache=True, error_model="numpy")
summing = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=REORDER)

HALF = np.float32(0.5)
ZERO = np.float32(0)

# Planes are walked as slices, because LLVM vectorises only loops in which it sees that no index can be negative.


@compiled
def clip(u, low, high):
    u = low if u < low else u
    return high if u > high else u


@compiled
def constants(k):
    """The coefficients as values, which, unlike an array's elements, no store in a loop can change."""
    return k[0], k[1], k[2], k[3], k[4], k[5], k[6], k[7]


@summing
def gradient(g, u, low, high, k):
    """(g d I, round(u_hat)) of one element."""
    clipped = clip(u, low, high)
    q = np.rint(clipped)
    d = HALF - abs(clipped - q)
    z = d * d
    slope = ((((((k[7] * z + k[6]) * z + k[5]) * z + k[4]) * z + k[3]) * z + k[2]) * z + k[1]) * z + k[0]
    return (g * slope if clipped == u else ZERO), q


@compiled
def quantize_planes(x, out, shift, inner, v, low, high):
    v, low, high = np.float32(v), np.float32(low), np.float32(high)
    for plane in range(x.size // inner):
        s = shift[plane % shift.size]
        here, there = x[plane * inner : (plane + 1) * inner], out[plane * inner : (plane + 1) * inner]
        for i in range(here.size):
            there[i] = np.rint(clip((here[i] + s) / v, low, high)) * v


@compiled
def quantize_columns(x, out, shift, v, low, high):
    v, low, high = np.float32(v), np.float32(low), np.float32(high)
    for r in range(x.shape[0]):
        for c in range(x.shape[1]):
            out[r, c] = np.rint(clip((x[r, c] + shift[c]) / v, low, high)) * v


@summing
def gradient_planes(grad, x, grad_x, shift, inner, v, low, high, coefficients, sums):
    v, low, high = np.float32(v), np.float32(low), np.float32(high)
    k = constants(coefficients)
    total = 0.0
    for plane in range(x.size // inner):
        s = shift[plane % shift.size]
        end = (plane + 1) * inner
        for start in range(plane * inner, end, BLOCK):
            stop = min(start + BLOCK, end)
            g_here, x_here, out = grad[start:stop], x[start:stop], grad_x[start:stop]
            block_v, block_shift = ZERO, ZERO
            for i in range(x_here.size):
                u = (x_here[i] + s) / v
                gx, q = gradient(g_here[i], u, low, high, k)
                out[i] = gx
                block_shift += gx
                block_v += g_here[i] * q - gx * u
            total += float(block_v)
            sums[plane % shift.size] += block_shift
    return total


@summing
def gradient_columns(grad, x, grad_x, shift, v, low, high, coefficients, sums):
    v, low, high = np.float32(v), np.float32(low), np.float32(high)
    k = constants(coefficients)
    rows, columns = x.shape
    block_shift = np.empty(columns, np.float32)
    total = 0.0
    for start in range(0, rows, ROWS):
        block_shift[:] = 0
        block_v = ZERO
        for r in range(start, min(start + ROWS, rows)):
            for c in range(columns):
                u = (x[r, c] + shift[c]) / v
                gx, q = gradient(grad[r, c], u, low, high, k)
                grad_x[r, c] = gx
                block_shift[c] += gx
                block_v += grad[r, c] * q - gx * u
        total += float(block_v)
        for c in range(columns):
            sums[c] += block_shift[c]
    return total
