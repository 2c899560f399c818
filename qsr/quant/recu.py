"""ReCU: reviving the dead weights (Xu et al., ICCV 2021, arXiv:2103.12369).

    weights:      w' = (w - mean_o) / (sqrt(var_o + 1e-5) / (2 sqrt 2)),   Q = -b ln(2 - 2 tau),   b = mean|w'| of the layer
                  w_hat = alpha_o sign(clip(w', -Q, Q)),   dL/dw = g alpha_o 1[|w'| <= Q] through the normalisation
                  alpha_o = max(|step_o|, 1e-6),           dL/dstep_o = sum of g sign(w') over the channel's weights
    activations:  a_hat = sign(a),   in training   dL/da = g max(0, 2 - 2|a'|) through a' = a / sqrt(var + 1e-5)

Weights follow a Laplace distribution of scale b, and Q is its tau-quantile: weights so far out that they never change
sign are pulled back to it. tau = A e^p + B rises from 0.85 to 0.99 with the progress p of training. Variances have
n - 1. That of activations is each picture's; it widens the window of the polynomial to the features and cannot change a
sign, so it is left out in eval mode. alpha scales the output, hence the chain rule carries it to the weights.

Deviations: b and Q are constants of the backward pass, as in the released code, but stay tensors (there a number is
fetched from the device in every forward). alpha starts at mean|w_o|, not at random in [0, 1). sign(0) is +1, not 0.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from qsr.quant.base import Role
from qsr.quant.binarizer import Binarizer
from qsr.quant.signs import identity, learned_scale, poly
from qsr.spec import QuantSpec

EPS = 1e-5
TAU_START, TAU_END = 0.85, 0.99


def tau(progress: float) -> float:
    """Quantile that weights are clipped to, at a progress in [0, 1]."""
    return TAU_START + (TAU_END - TAU_START) * math.expm1(progress) / math.expm1(1)


def deviation(x: Tensor) -> Tensor:
    """sqrt(var + 1e-5) over all but the first axis, (n, 1, ...); of the whole tensor where there is one axis."""
    axes = tuple(range(1, x.dim())) or (0,)
    centred = x - x.mean(dim=axes, keepdim=True)
    count = math.prod(x.shape[axis] for axis in axes)
    return (centred.square().sum(dim=axes, keepdim=True) / max(count - 1, 1) + EPS).sqrt()


class ReCU(Binarizer):
    """No settings. step: (C_out,), or 0-dim with granularity "tensor"; weights only, starts at mean|w|."""

    chained: bool = True
    needs_data: ClassVar[bool] = True

    def __init__(self, spec: QuantSpec, role: Role, channels: int, channel_dim: int) -> None:
        super().__init__(spec, role, channels, channel_dim)
        self.surrogate = identity if role == "weight" else poly
        self.set_progress(0.0)
        if role == "weight":
            self.step = nn.Parameter(torch.ones(channels) if spec.granularity == "channel" else torch.tensor(1.0))
        else:
            self.initialised.fill_(True)

    def set_progress(self, progress: float) -> None:
        self.tau = tau(progress)

    def latent(self, x: Tensor) -> Tensor:
        if self.role == "act":
            return x / deviation(x) if self.training else x
        centred = x - x.mean(dim=tuple(range(1, x.dim())), keepdim=True)
        normal = centred * (2 * math.sqrt(2)) / deviation(x)
        bound = normal.detach().abs().mean() * -math.log(2 - 2 * self.tau)
        return normal.clamp(-bound, bound)

    def scale_of(self, x: Tensor) -> Tensor | None:
        if self.role == "act":
            return None
        alpha = learned_scale(self.step if self.step.dtype == x.dtype else self.step.to(x.dtype))
        return alpha if alpha.dim() == 0 else alpha.view(self.channel_shape(x))

    def observe(self, x: Tensor) -> None:
        if self.role == "weight":
            self.step.copy_(self.magnitude(x).view(self.step.shape))

    def unit(self) -> float:
        return float(learned_scale(self.step.detach()).mean()) if self.role == "weight" else 1.0
