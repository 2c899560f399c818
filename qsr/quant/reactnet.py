"""ReActNet (Liu et al., ECCV 2020, arXiv:2003.03488): its RSign; its RPReLU belongs to the network (`block: unit`).

    weights:      w_hat = m_o sign(w),   m_o = mean|w_o| per output channel,   dL/dw = g * 1[|w| <= 1]
    activations:  a_hat = sign(a + shift),   shift per channel, starts at 0                                    (eq. 1)
                  dL/da = g * max(0, 2 - 2|a + shift|),   dL/dshift = its sum per channel

Deviations: the shift is added, as in the released code; the paper subtracts it. m_o is a constant of the backward pass
and does not scale the gradient. The benchmark's code for linear layers forgets the shift in its forward pass and drops
the layer's bias; here both are as in convolutions.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from qsr.quant.base import Accepts, Role
from qsr.quant.binarizer import Binarizer
from qsr.quant.signs import poly, ste
from qsr.spec import QuantSpec


class ReActNet(Binarizer):
    """Settings of activations: shift (True; False is Bi-Real), surrogate (poly; ste: 1[|a + shift| <= 1] instead).
    Granularity "tensor": one m for the layer. The three are the parts of the rule that BiBench suggests.

    shift: (1, C, 1, 1) for convolutions, (1, C) for linear layers.
    """

    accepts: ClassVar[dict[str, Accepts]] = {"shift": (True, False), "surrogate": ("poly", "ste")}
    act_only: ClassVar[frozenset[str]] = frozenset({"shift", "surrogate"})
    shift: nn.Parameter | None

    def __init__(self, spec: QuantSpec, role: Role, channels: int, channel_dim: int) -> None:
        super().__init__(spec, role, channels, channel_dim)
        hard = role == "weight" or spec.param("surrogate", "poly") == "ste"
        self.surrogate = ste if hard else poly
        self.shift = None
        if role == "act" and spec.param("shift", True):
            self.shift = nn.Parameter(torch.zeros((1, channels, 1, 1) if channel_dim == 1 else (1, channels)))

    def latent(self, x: Tensor) -> Tensor:
        if self.shift is None:
            return x
        shift = self.shift if self.shift.dtype == x.dtype else self.shift.to(x.dtype)
        return x + (shift if x.dim() > 1 else shift.view(-1))  # one feature vector without a batch axis

    def scale_of(self, x: Tensor) -> Tensor | None:
        return self.magnitude(x) if self.role == "weight" else None
