"""RLQ, the redistribution-driven learnable quantizer of QuantSR (Qin et al., NeurIPS 2023).

    u = (x + shift) / v,   x_hat = round(clip(u, Qn, Qp)) * v
    phi(u) = floor(u) + 1/2 + tanh(k (f - 1/2)) / (2 tanh(k/2)),     f = u - floor(u)

phi maps every [n, n+1] onto itself and is monotone, so round(phi(u)) == round(u): it shapes the backward pass only,
by its slope d(u) = k sech^2(k (f - 1/2)) / (2 tanh(k/2)), steepest half-way between two levels, where a small change
of u changes the code. Mean slope 1; k -> 0 is LSQ with a shift. The paper's slides lost the factor 1/2; see
docs/quantizers.md for this and every other deviation.

Weights have no shift; activations have one per input channel, not taken off after rounding.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from qsr.errors import OptionsError
from qsr.quant.base import Accepts, Role
from qsr.quant.learned_step import LearnedStep
from qsr.spec import QuantSpec, Scalar

CODE_K = 1.0  # the released code's k; the paper's is 2
POLYNOMIAL_TERMS = 8
POLYNOMIAL_ERROR = 1e-7


def phi(u: Tensor, k: float) -> Tensor:
    """The redistribution function, elementwise; phi fixes n and n + 1/2 for every integer n."""
    f = u - u.floor()
    return u.floor() + 0.5 + torch.tanh(k * (f - 0.5)) / (2 * math.tanh(k / 2))


class Redistribution:
    """phi's slope as a function of u - round(u).

    |f - 1/2| = 1/2 - |u - round(u)| and sech^2 is even, so d needs no floor; it is A (1 - tanh^2), A = k / (2 tanh(k/2)).

    >>> slope = Redistribution(2.0)
    >>> [round(float(slope(torch.tensor(offset))), 4) for offset in (0.0, 0.5)]
    [0.5514, 1.313]
    """

    def __init__(self, k: float) -> None:
        self.k = k
        self.polynomial = slope_polynomial(k)

    def __call__(self, offset: Tensor) -> Tensor:
        tanh = offset.abs().sub_(0.5).mul_(self.k).tanh_()
        amplitude = self.k / (2 * math.tanh(self.k / 2))
        return tanh.square_().mul_(-amplitude).add_(amplitude)


@lru_cache
def slope_polynomial(k: float) -> np.ndarray | None:
    """d as a polynomial in z = (f - 1/2)^2 on [0, 1/4], or None if 8 terms miss it by more than 1e-7.

    sech^2(k sqrt(z)) is analytic up to z = -(pi / 2k)^2, so Chebyshev interpolation gains about a digit per term at k = 2.
    """
    domain = (0.0, 0.25)

    def slope(z: np.ndarray) -> np.ndarray:
        return k / (2 * math.tanh(k / 2)) / np.cosh(k * np.sqrt(z)) ** 2

    fit = np.polynomial.Chebyshev.interpolate(slope, POLYNOMIAL_TERMS - 1, domain).convert(kind=np.polynomial.Polynomial)
    probe = np.linspace(*domain, 1001)
    error = np.abs(fit(probe) - slope(probe)).max()
    return np.resize(fit.coef, POLYNOMIAL_TERMS).astype(np.float32) if error < POLYNOMIAL_ERROR else None


def _slope_constant(value: Scalar) -> bool:
    """a number in (0, 20]"""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 20


class RLQ(LearnedStep):
    """Settings: k (2.0), shift (True) and shift_init ('zero') of activations, init, numel, symmetric_narrow. Not for 1 bit.

    shift: (1, C, 1, 1) for convolution inputs, (1, ..., C) along the last axis for linear ones. It starts at 0 (released
    code) or, with shift_init 'centre' and by `calibrate`, where it puts each channel's mean in the middle of the levels;
    the layer's bias then takes off what that adds.
    """

    accepts: ClassVar[dict[str, Accepts]] = {
        "k": _slope_constant,
        **LearnedStep.accepts,
        "shift": (True, False),
        "shift_init": ("zero", "centre"),
    }
    act_only: ClassVar[frozenset[str]] = LearnedStep.act_only | {"shift", "shift_init"}

    def __init__(self, spec: QuantSpec, role: Role, channels: int, channel_dim: int) -> None:
        super().__init__(spec, role, channels, channel_dim)
        self.slope = Redistribution(float(spec.param("k", 2.0)))
        if self._centred and not spec.param("shift", True):
            raise OptionsError("rlq: shift_init 'centre' needs a shift", hint="leave shift on, or shift_init at 'zero'")
        if role == "act" and spec.param("shift", True):
            shape = (1, channels, 1, 1) if channel_dim == 1 else (1, channels)
            self.shift = nn.Parameter(torch.zeros(shape))
