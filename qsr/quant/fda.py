"""FDA-BNN: learning frequency domain approximation (Xu et al., NeurIPS 2021, arXiv:2103.00841).

    weights:      w_hat = m_o sign(w) + alpha eta(w),   m_o = mean|w_o|
    activations:  a_hat = sign(a) + alpha eta(a)
    dsign/dx   =  (4 omega / pi) sum_{i=0..n} cos((2 i + 1) omega x) 1[|x| <= 1],   omega = 0.1           (eq. 8)
    eta(z)     =  fc2(relu(fc1(z))) + 0.1 sin(z)                                                         (eq. 11)

The surrogate is the derivative of the square wave's Fourier series, whose number of terms n grows from 9 to 18 with the
progress p of training. eta stands for the error of cutting the series off; its share alpha = 0.05 (1 + cos(pi p)) falls
from 0.1 to 0. It is added in training mode only, and trained with everything else; what is deployed is the sign.
fc1 and fc2 have no bias; z is one output channel's weights, flattened, or the channels of an activation at one position.

Deviations: n and alpha follow every iteration, not every epoch. The benchmark's code makes the activations' eta in the
first forward pass, when the optimiser has its parameters already, and so never trains it; here both exist as soon as
the layer does. Its hidden width, a 64th of z's, is a quarter where that would be 0, and at least 1. m_o does not scale
the gradient. sign(0) is +1, not 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qsr.quant.base import Role, widened
from qsr.quant.binarizer import Binarizer
from qsr.spec import QuantSpec

OMEGA = 0.1
TERMS_START, TERMS_END = 9, 18


class Fourier:
    """x -> (4 omega / pi) sum_{i=0..n} cos((2 i + 1) omega x) 1[|x| <= 1], in closed form: sin(2 (n+1) u) / (2 sin u)."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __call__(self, x: Tensor) -> Tensor:
        u = x.clamp(-1, 1) * (OMEGA / math.pi)
        terms = self.n + 1
        total = torch.sinc(2 * terms * u).div_(torch.sinc(u)).mul_(4 * OMEGA / math.pi * terms)
        return total.mul_(x.abs() <= 1)


class Noise(nn.Module):
    """eta: (..., width) -> (..., width), in the dtype of its input, under autocast too."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = width // 64 or max(width // 4, 1)
        self.fc1 = nn.Linear(width, hidden, bias=False)
        self.fc2 = nn.Linear(hidden, width, bias=False)

    def forward(self, z: Tensor) -> Tensor:
        with torch.autocast(z.device.type, enabled=False):
            inner = F.linear(z, self.fc1.weight.to(z.dtype)).relu()
            return F.linear(inner, self.fc2.weight.to(z.dtype)) + 0.1 * z.sin()


class FDA(Binarizer):
    """No settings. Granularity "channel": m per output channel; "tensor": one for the layer.

    noise: eta; None for a weight's quantizer that belongs to no layer, whose width nobody has told it.
    """

    noise: Noise | None

    def __init__(self, spec: QuantSpec, role: Role, channels: int, channel_dim: int) -> None:
        super().__init__(spec, role, channels, channel_dim)
        self.noise = Noise(channels) if role == "act" else None
        self.set_progress(0.0)

    def bind(self, shape: Sequence[int]) -> None:
        self.noise = Noise(math.prod(shape[1:]))

    def set_progress(self, progress: float) -> None:
        steps = TERMS_END - TERMS_START
        self.surrogate = Fourier(TERMS_START + int(steps * progress + 1e-9))  # 9 * (i / 9) may fall short of i
        self.alpha = 0.05 * (1 + math.cos(math.pi * progress))

    def scale_of(self, x: Tensor) -> Tensor | None:
        return self.magnitude(x) if self.role == "weight" else None

    def forward(self, x: Tensor) -> Tensor:
        x_hat = super().forward(x)
        if not self.training or self.noise is None:
            return x_hat
        return x_hat + (self.alpha * self._noise_of(widened(x), self.noise)).to(x.dtype)

    def _noise_of(self, x: Tensor, noise: Noise) -> Tensor:
        if self.role == "weight":
            return noise(x.flatten(1)).view(x.shape)
        return noise(x.movedim(self.channel_dim, -1)).movedim(-1, self.channel_dim)
