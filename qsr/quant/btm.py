"""BTM: training binary networks without batch normalization for super-resolution (Jiang et al., AAAI 2021). Approximate.

    weights:      w' = (w - mean_o) / (std_o + 1e-5),   w_hat = m_o sign(w'),   m_o = mean|w_o|
                  dL/dw = g 1[|w'| <= 1] through the standardisation
    activations:  a_hat = sign(a),   dL/da = g max(0, 2 - 2|a|)

No code is public, and the paper leaves details open; these choices are ours. m_o is of the weights before they are
standardised, so that a layer keeps the size that it starts with, and is a constant of the backward pass that does not
scale the gradient. What makes the method besides is not a quantizer's business and is in its option files: no batch
norm, LeakyReLU, a skip around every convolution, activations binarized first, a full-precision teacher's features.
"""

from __future__ import annotations

from torch import Tensor

from qsr.quant.base import Role
from qsr.quant.binarizer import Binarizer
from qsr.quant.irnet import standardised
from qsr.quant.signs import poly, ste
from qsr.spec import QuantSpec


class BTM(Binarizer):
    """No settings. Granularity "channel": m per output channel; "tensor": one for the layer."""

    def __init__(self, spec: QuantSpec, role: Role, channels: int, channel_dim: int) -> None:
        super().__init__(spec, role, channels, channel_dim)
        self.surrogate = ste if role == "weight" else poly

    def latent(self, x: Tensor) -> Tensor:
        return standardised(x) if self.role == "weight" else x

    def scale_of(self, x: Tensor) -> Tensor | None:
        return self.magnitude(x) if self.role == "weight" else None
