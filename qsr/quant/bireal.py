"""Bi-Real Net (Liu et al., ECCV 2018, arXiv:1808.00278), without its block: the shortcut around every convolution
belongs to the network (`network_g.block: unit`).

    weights:      w_hat = m_o sign(w),   m_o = mean|w_o| per output channel,   dL/dw = g * 1[|w| <= 1]
    activations:  a_hat = sign(a),                                             dL/da = g * max(0, 2 - 2|a|)   (eq. 7)

m_o is a constant of the backward pass and does not scale the gradient, as in the released code; the paper's
magnitude-aware gradient (eq. 9) multiplies by it, which only changes the learning rate of a layer.
"""

from __future__ import annotations

from torch import Tensor

from qsr.quant.base import Role
from qsr.quant.binarizer import Binarizer
from qsr.quant.signs import poly, ste
from qsr.spec import QuantSpec


class BiReal(Binarizer):
    """No settings. Granularity "channel" is the paper's; "tensor": one m for the layer."""

    def __init__(self, spec: QuantSpec, role: Role, channels: int, channel_dim: int) -> None:
        super().__init__(spec, role, channels, channel_dim)
        self.surrogate = ste if role == "weight" else poly

    def scale_of(self, x: Tensor) -> Tensor | None:
        return self.magnitude(x) if self.role == "weight" else None
