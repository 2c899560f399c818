"""EWGS, element-wise gradient scaling (Lee, Kim and Ham, CVPR 2021, eq. 7) on learned steps.

    x_hat as LSQ,   dL/dx = g (1 + delta sign(g) (u - round(u))),   u = x / v, inside the range

The straight-through estimator passes one gradient to all values with the same code. EWGS makes it larger where the update
pushes a value towards the next code's territory and smaller where it pushes it back to its level; delta = 0 is LSQ. The
authors set delta from the loss's curvature or fix it; here it is a setting, by default 1e-3.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from qsr.quant.base import Accepts, Role, widened
from qsr.quant.fused import positive
from qsr.quant.lsq import LSQ
from qsr.spec import QuantSpec, Scalar


def _delta(value: Scalar) -> bool:
    """a number in [0, 1]"""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


class _Scale(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, v: Tensor, delta: float) -> Tensor:
        ctx.save_for_backward(x, v)
        ctx.delta = delta
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        x, v = ctx.saved_tensors
        u = x / v
        return grad * (1 + ctx.delta * grad.sign() * (u - u.round())), None, None


class EWGS(LSQ):
    """Settings: delta (1e-3) and those of LSQ. Undefined for 1 bit."""

    accepts: ClassVar[dict[str, Accepts]] = {**LSQ.accepts, "delta": _delta}

    def __init__(self, spec: QuantSpec, role: Role, channels: int, channel_dim: int) -> None:
        super().__init__(spec, role, channels, channel_dim)
        self.delta = float(spec.param("delta", 1e-3))

    def forward(self, x: Tensor) -> Tensor:
        wide = widened(x)
        self._prepare(wide)
        return super().forward(_Scale.apply(wide, positive(self._step_for(wide)), self.delta)).to(x.dtype)
