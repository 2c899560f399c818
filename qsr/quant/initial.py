"""Where learned steps and shifts start: the step with the least squared error on observed values, and the shift that
puts each channel in the middle of the levels.

On Gaussian values LSQ's start, 2 mean|x| / sqrt(Qp), is too coarse for 2 signed bits, and signed levels -2..1 are not
symmetric: without a shift a symmetric feature uses three of four. Less error per layer is not a better network, though:
see docs/quantizers.md ("Start and rates") for what was measured after training.
"""

from __future__ import annotations

import torch
from torch import Tensor

MOST = 2**15  # observed values kept per tensor and batch: the least error is flat around its minimum
CANDIDATES = torch.linspace(0.15, 1.25, 56)  # of LSQ's start


def subsample(rows: Tensor, most: int = MOST) -> Tensor:
    """At most about `most` values of (R, n): every k-th column, so that the choice depends on nothing but the shape."""
    stride = max(1, rows.numel() // most)
    return rows[:, ::stride]


def least_error_step(rows: Tensor, start: Tensor, qmin: int, qmax: int, middle: Tensor | None = None) -> Tensor:
    """The multiple of `start` with the least mean squared quantization error.

    rows: (R, n). start: (R,) for a step per row, or 0-dim for a common one; positive. middle: (R, 1), the value that is
    to lie in the middle of the levels qmin..qmax; None: value 0 is code 0. Returns the shape of `start`.
    """
    candidates = CANDIDATES.to(rows)
    errors = []
    for factor in candidates:
        v = (start * factor).view(-1, 1)
        u = rows / v if middle is None else (rows - middle) / v + (qmin + qmax) / 2
        error = (u.round().clamp_(qmin, qmax) - u).mul_(v).square_()
        errors.append(error.mean(1) if start.dim() else error.mean())
    return start * candidates[torch.stack(errors).argmin(0)]


def centring_shift(middle: Tensor, step: Tensor, qmin: int, qmax: int) -> Tensor:
    """shift with (middle + shift) / step half-way between qmin and qmax; the shape of `middle`."""
    return step * (qmin + qmax) / 2 - middle
