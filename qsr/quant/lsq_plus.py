"""LSQ+ (Bhalgat et al., CVPR Workshops 2020, arXiv:2004.09576): LSQ with a learned offset of the activations.

    u = (x - o) / v,   x_hat = round(clip(u, Qn, Qp)) * v + o        (its "learnable asymmetric quantization"; weights: o = 0)

Backward: as LSQ, and dx_hat/do = 0 inside [Qn, Qp], 1 outside: what the offset takes away before rounding it gives back
after, unless the value is clipped.

Initial values (its "initialization of quantization parameters"):

    weights      v = max(|mu - 3 sigma|, |mu + 3 sigma|) / 2^(b-1) = (|mu| + 3 sigma) / 2^(b-1)
    activations  v = (max - min) / (Qp - Qn),   o = min - Qn v

Deviations. For activations the paper goes on from there to the least squared error of each layer; training does that here.
Only the step's gradient is scaled by 1 / sqrt(N Qp), as everywhere in this package.

Zero padding stays the value 0, although 0 need not be one of the levels q v + o: a border of the nearest level would be
another network than the full-precision one that training starts from. An integer kernel therefore has to take the
offset's share of a sum from the positions inside the picture only.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from qsr.quant.base import Accepts, Codes, Role, widened
from qsr.quant.fused import fused_quantize
from qsr.quant.learned_step import LearnedStep, Observed
from qsr.quant.lsq import StraightThrough
from qsr.spec import QuantSpec


class LSQPlus(LearnedStep):
    """Settings: numel, symmetric_narrow. Undefined for 1 bit.

    shift: the offset o of activations, 0-dim; None for weights. Codes count from it (`Codes.offset`).
    """

    accepts: ClassVar[dict[str, Accepts]] = {name: LearnedStep.accepts[name] for name in ("numel", "symmetric_narrow")}
    plain = False

    def __init__(self, spec: QuantSpec, role: Role, channels: int, channel_dim: int) -> None:
        super().__init__(spec, role, channels, channel_dim)
        self.slope = StraightThrough()
        if role == "act":
            self.shift = nn.Parameter(torch.tensor(0.0))

    def forward(self, x: Tensor) -> Tensor:
        if self.shift is None:
            return super().forward(x)
        levels = self._levels(x, self._prepare(x))
        wide = widened(x)
        offset = self._offset_for(wide)
        return fused_quantize(wide, self._step_for(wide), -offset, levels, self.slope).add_(offset).to(x.dtype)

    @torch.no_grad()
    def encode(self, x: Tensor) -> Codes:
        found = super().encode(x)
        return found if self.shift is None else replace(found, shift=None, offset=self._offset_for(found.scale).detach())

    def _offset_for(self, x: Tensor) -> Tensor:
        assert self.shift is not None
        return self.shift if self.shift.dtype == x.dtype else self.shift.to(x.dtype)

    def _shift_for(self, x: Tensor) -> Tensor | None:
        return None if self.shift is None else -self._offset_for(x)

    def _statistics(self, x: Tensor) -> Observed:
        """Of x without its offset, which starts from them; of weights, |mu| + 3 sigma stands for the largest value."""
        flat = x.reshape(1, -1) if self.step.dim() == 0 else x.transpose(0, self.channel_dim).reshape(self.channels, -1)
        mean, deviation = flat.mean(1), flat.std(1, correction=0)
        reach = (mean.abs() + 3 * deviation).reshape(self.step.shape)
        return Observed(flat.shape[1], flat.abs().sum(1).reshape(self.step.shape), reach, x.min(), x.max())

    def _start(self, seen: Observed, qmin: int, qmax: int) -> None:
        reach = (
            seen.abs_max / 2 ** (self.spec.bits - 1) if self.shift is None else (seen.maximum - seen.minimum) / (qmax - qmin)
        )
        self.step.copy_(torch.where(reach > 0, reach, 1.0))
        if self.shift is not None:
            self.shift.copy_(seen.minimum - qmin * self.step)
