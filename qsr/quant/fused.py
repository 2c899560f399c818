"""Uniform quantization with a learned step as one autograd function, for every method whose forward is plain rounding.

    u = (x + shift) / v,   u_hat = clip(u, Qn, Qp),   x_hat = round(u_hat) * v,   v = max(|step|, 1e-6)

A method differs only in the slope d that its backward pass uses in place of round's derivative (`Slope`). With
upstream gradient g and I = [Qn <= u <= Qp]:

    dL/dx = g d I,     dL/dshift = its sum per channel,     dL/dv = s_g * (sum g round(u_hat) - sum (g d I) u)

The last line is LSQ's three-case formula written without cases: outside the range I = 0 and round(u_hat) is Qn or Qp.

An activation quantizer is bound by memory traffic, so only x is kept for the backward pass; u and the codes are
computed again. CPU float32 tensors take one pass each way through cpu_kernels.py where numba is installed.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from qsr.quant import cpu_kernels

STEP_FLOOR = 1e-6


class Slope(Protocol):
    """d as a function of the offset u - round(u), which lies in [-1/2, 1/2].

    polynomial: (8,) float32, coefficients of d = sum c_i z^i in z = (1/2 - |offset|)^2, within 1e-7; None: 8 do not suffice.
    """

    polynomial: np.ndarray | None

    def __call__(self, offset: Tensor) -> Tensor: ...


class Levels(NamedTuple):
    """Codes run from qmin to qmax; `grad_scale` is s_g."""

    qmin: int
    qmax: int
    grad_scale: float


def positive(step: Tensor) -> Tensor:
    """The step size that a raw, unconstrained parameter stands for."""
    return step.detach().abs().clamp_min(STEP_FLOOR)


def clipped(x: Tensor, v: Tensor, shift: Tensor | None, levels: Levels) -> tuple[Tensor, Tensor]:
    """(u, u_hat), fresh tensors of x's shape."""
    u = x / v if shift is None else (x + shift).div_(v)
    return u, u.clamp(levels.qmin, levels.qmax)


def codes(x: Tensor, v: Tensor, shift: Tensor | None, levels: Levels) -> Tensor:
    """round(u_hat), in x's dtype."""
    return clipped(x, v, shift, levels)[1].round_()


class FusedQuantize(torch.autograd.Function):
    """x_hat = FusedQuantize.apply(x, step, shift, levels, slope); shapes as in `fused_quantize`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, shift: Tensor | None, levels: Levels, slope: Slope) -> Tensor:
        ctx.save_for_backward(x, step, shift)
        ctx.levels, ctx.slope = levels, slope
        if cpu_kernels.take(x, step):
            return cpu_kernels.forward(x, max(abs(step.item()), STEP_FLOOR), shift, levels.qmin, levels.qmax)
        v = positive(step)
        return codes(x, v, shift, levels).mul_(v)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None, None, None]:
        x, step, shift = ctx.saved_tensors
        levels, slope = ctx.levels, ctx.slope
        # s_g times |step|'s derivative, with sign(0) = +1 so that a step that lands on zero can leave it again
        if slope.polynomial is not None and cpu_kernels.take(x, step):
            raw = step.item()
            numbers = max(abs(raw), STEP_FLOOR), shift, levels.qmin, levels.qmax, slope.polynomial
            grad_x, total, grad_shift = cpu_kernels.backward(grad, x, *numbers)
            grad_step = torch.from_numpy(np.array(total * math.copysign(levels.grad_scale, raw or 1.0), np.float32))
            return grad_x, grad_step, grad_shift, None, None
        v = positive(step)
        u, u_hat = clipped(x, v, shift, levels)
        q = u_hat.round()
        inside = u == u_hat
        grad_x = slope(u_hat.sub_(q)).mul_(grad).mul_(inside)
        grad_v = q.mul_(grad).addcmul_(grad_x, u, value=-1).sum_to_size(v.shape)
        grad_shift = None if shift is None else grad_x.sum_to_size(shift.shape)
        return grad_x, grad_v * levels.grad_scale * torch.where(step >= 0, 1.0, -1.0), grad_shift, None, None


def fused_quantize(x: Tensor, step: Tensor, shift: Tensor | None, levels: Levels, slope: Slope) -> Tensor:
    """Fake-quantize x.

    x: float32 or float64, any shape and strides. step: raw parameter, 0-dim or broadcasting over x.
    shift: broadcasting over x, or None. Returns x_hat of x's shape.
    """
    return FusedQuantize.apply(x, step, shift, levels, slope)
