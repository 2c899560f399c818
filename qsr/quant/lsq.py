"""LSQ, learned step size quantization (Esser et al., ICLR 2020, arXiv:1902.08153).

    u = x / v,   x_hat = round(clip(u, Qn, Qp)) * v

Backward: the straight-through estimator inside the range, dx_hat/dv = round(u) - u there and Qn or Qp outside, scaled
by 1 / sqrt(N Qp). That is RLQ with slope 1 and without a shift.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from qsr.quant.base import Role
from qsr.quant.learned_step import LearnedStep
from qsr.spec import QuantSpec


class StraightThrough:
    """Slope 1 everywhere."""

    polynomial: np.ndarray | None = np.eye(8, dtype=np.float32)[0]  # 1 + 0 z + 0 z^2 + ...

    def __call__(self, offset: Tensor) -> Tensor:
        return torch.ones_like(offset)


class LSQ(LearnedStep):
    """Settings: init, numel, symmetric_narrow. Undefined for 1 bit."""

    def __init__(self, spec: QuantSpec, role: Role, channels: int, channel_dim: int) -> None:
        super().__init__(spec, role, channels, channel_dim)
        self.slope = StraightThrough()
