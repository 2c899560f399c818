"""XNOR-Net++ (Bulat and Tzimiropoulos, BMVC 2019, arXiv:1909.13863): the scale is learned, not computed.

    y = (sign(a) * sign(w)) Gamma,     dL/dw = g * Gamma_o * 1[|w| <= 1],   dL/da = g * 1[|a| <= 1],
    Gamma_o = max(|step_o|, 1e-6),     dL/dstep_o = sum of g sign(w) over the output channel's weights

A factor per output channel is the same on the output as on the weight, and it is kept on the weight here, so that the
layer needs nothing beside its codes; the chain rule carries it to w.

Deviations: the paper's Gamma = alpha_o x beta_h x gamma_w has factors for the row and the column of the output, whose
size is fixed by the training patch and unknown for a picture to upscale; only alpha_o remains. It starts at mean|w_o|
instead of 1, because without batch normalisation 1 would multiply the branch by ten.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from qsr.quant.base import Role
from qsr.quant.binarizer import Binarizer
from qsr.quant.signs import learned_scale, ste
from qsr.spec import QuantSpec


class XNORPP(Binarizer):
    """No settings. step: (C_out,), or 0-dim with granularity "tensor"; weights only, starts at mean|w|."""

    chained: bool = True
    needs_data: ClassVar[bool] = True

    def __init__(self, spec: QuantSpec, role: Role, channels: int, channel_dim: int) -> None:
        super().__init__(spec, role, channels, channel_dim)
        self.surrogate = ste
        if role == "weight":
            self.step = nn.Parameter(torch.ones(channels) if spec.granularity == "channel" else torch.tensor(1.0))
        else:
            self.initialised.fill_(True)

    def scale_of(self, x: Tensor) -> Tensor | None:
        if self.role == "act":
            return None
        step = self.step if self.step.dtype == x.dtype else self.step.to(x.dtype)
        gamma = learned_scale(step)
        return gamma if gamma.dim() == 0 else gamma.view(self.channel_shape(x))

    def observe(self, x: Tensor) -> None:
        if self.role == "weight":
            self.step.copy_(self.magnitude(x).view(self.step.shape))

    def unit(self) -> float:
        return float(learned_scale(self.step.detach()).mean()) if self.role == "weight" else 1.0
