"""The sign function with surrogate gradients: what every one-bit method of the house is made of.

sign(0) = +1 everywhere (algorithms 0): ReLU outputs and residual weights contain exact zeros, and a packed bit has no
third value.

>>> sign(torch.tensor([-0.5, 0.0, 2.0])).tolist()
[-1.0, 1.0, 1.0]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

SCALE_FLOOR = 1e-6

Surrogate = Callable[[Tensor], Tensor]
"""x -> what stands in for the derivative of sign at x, the shape of x."""


def sign(x: Tensor) -> Tensor:
    """-1 or +1 in x's dtype; +1 at zero."""
    return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)


def identity(x: Tensor) -> Tensor:
    """The plain straight-through estimator."""
    return torch.ones_like(x)


def ste(x: Tensor) -> Tensor:
    """Straight through inside the unit window: 1[|x| <= 1] (BNN, Hubara et al., NeurIPS 2016)."""
    return (x.abs() <= 1).to(x.dtype)


def poly(x: Tensor) -> Tensor:
    """Piecewise polynomial max(0, 2 - 2|x|) (Bi-Real Net, Liu et al., ECCV 2018, eq. 7)."""
    return (2 - 2 * x.abs()).clamp_min_(0)


class Windowed:
    """`poly` with half-width h: max(0, 2 - 2|x/h|) / h, whose integral is that of `poly` for every h."""

    def __init__(self, h: float | Tensor) -> None:
        self.h = h

    def __call__(self, x: Tensor) -> Tensor:
        return (x.abs() * (-2 / self.h)).add_(2).clamp_min_(0).div_(self.h)


def learned_scale(step: Tensor) -> Tensor:
    """The scale that a raw, unconstrained parameter stands for: max(|step|, 1e-6).

    Its derivative is |step|'s, +1 at zero, also below the floor, so that the scale of a dead channel can grow.
    """
    size = step * sign(step.detach())
    return size + (size.clamp_min(SCALE_FLOOR) - size).detach()


class _Binarize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor | None, surrogate: Surrogate, chained: bool) -> Tensor:
        ctx.save_for_backward(x, scale)
        ctx.surrogate, ctx.chained = surrogate, chained
        return sign(x) if scale is None else sign(x) * scale

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        x, scale = ctx.saved_tensors
        grad_x = ctx.surrogate(x).mul_(grad)
        if scale is None:
            return grad_x, None, None, None
        if ctx.chained:
            grad_x = grad_x.mul_(scale)
        grad_scale = (grad * sign(x)).sum_to_size(scale.shape) if ctx.needs_input_grad[1] else None
        return grad_x, grad_scale, None, None


def binarize(x: Tensor, surrogate: Surrogate, scale: Tensor | None = None, chained: bool = False) -> Tensor:
    """scale * sign(x) with dL/dx = g * surrogate(x).

    scale: broadcasting over x, or None for 1; gets sum(g * sign(x)) if it asks for a gradient.
    chained: dL/dx is multiplied by `scale` too, as the chain rule has it. Off by default: XNOR-style methods use the
    analytic scale in the forward pass only, and pass the gradient on unscaled (algorithms 3).
    """
    return _Binarize.apply(x, scale, surrogate, chained)
