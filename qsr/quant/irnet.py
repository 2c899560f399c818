"""IR-Net: forward and backward information retention (Qin et al., CVPR 2020, arXiv:1909.10788).

    weights:      w' = (w - mean_o) / (std_o + 1e-5),   s_o = round(log2 mean|w'_o|),   w_hat = 2^s_o sign(w')    (eq. 6-8)
                  dL/dw = g g'(w') through the standardisation
    activations:  a_hat = sign(a),   dL/da = g g'(a)
    both:         g'(x) = k t (1 - tanh^2(t x)),   t = t_min (10 / t_min)^p,   k = max(1 / t, 1)                 (eq. 9-11)

Statistics are per output channel, std with n - 1. The surrogate (EDE) is nearly the identity when training begins and
close to the sign's own derivative when it ends; p is the progress of training.

Deviations: t follows every iteration, the released code every epoch. t_min is that code's 1e-3; the paper's 1e-2 is
an option. 2^s_o is a constant of the backward pass and, as with all analytic scales here, does not scale the gradient
(the code lets it; it is 1 unless weights are heavy-tailed). 1e-5 keeps constant channels finite; the code divides by
zero. sign(0) is +1, not 0. The output ignores the size of the weights: a branch starts balanced by its gain alone.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from qsr.quant.base import Accepts, Role
from qsr.quant.binarizer import Binarizer
from qsr.spec import QuantSpec

T_MAX = 10.0
EPS = 1e-5
TINY = 1e-24  # below any variance that counts; the derivative of a root at exactly 0 would be infinite


def standardised(w: Tensor) -> Tensor:
    """(w - mean) / (std + 1e-5) of each output channel, std unbiased; differentiable, 0 for constant channels."""
    axes = tuple(range(1, w.dim()))
    centred = w - w.mean(dim=axes, keepdim=True)
    variance = centred.square().sum(dim=axes, keepdim=True) / max(w[0].numel() - 1, 1)
    return centred / (variance.clamp_min(TINY).sqrt() + EPS)


class ErrorDecay:
    """EDE at one progress p in [0, 1]: x -> k t (1 - tanh^2(t x)), in (0, k t]."""

    def __init__(self, progress: float, t_min: float = 1e-3) -> None:
        low, high = math.log10(t_min), math.log10(T_MAX)
        self.t = 10 ** (low + progress * (high - low))
        self.k = max(1 / self.t, 1.0)

    def __call__(self, x: Tensor) -> Tensor:
        return (x * self.t).tanh_().square_().neg_().add_(1).mul_(self.k * self.t)


class IRNet(Binarizer):
    """Setting: t_min (0.001 or 0.01). Granularity "channel" is the paper's; "tensor": one s for the layer."""

    accepts: ClassVar[dict[str, Accepts]] = {"t_min": (0.001, 0.01)}

    def __init__(self, spec: QuantSpec, role: Role, channels: int, channel_dim: int) -> None:
        super().__init__(spec, role, channels, channel_dim)
        self.set_progress(0.0)

    def set_progress(self, progress: float) -> None:
        self.surrogate = ErrorDecay(progress, float(self.spec.param("t_min", 1e-3)))

    def latent(self, x: Tensor) -> Tensor:
        return standardised(x) if self.role == "weight" else x

    def scale_of(self, x: Tensor) -> Tensor | None:
        if self.role == "act":
            return None
        return torch.exp2(torch.log2(self.magnitude(standardised(x.detach()))).round())
