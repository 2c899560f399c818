"""BNN: binarized neural networks (Hubara et al., NeurIPS 2016), the plainest method of the tables.

    x_hat = sign(x),   dL/dx = g * 1[|x| <= 1]        for weights and activations alike (eq. 1 and 4)

No scale anywhere; the published networks lean on batch normalisation for it, which super-resolution networks lack.
"""

from __future__ import annotations

from qsr.quant.base import Role
from qsr.quant.binarizer import Binarizer
from qsr.quant.signs import ste
from qsr.spec import QuantSpec


class BNN(Binarizer):
    """No settings."""

    def __init__(self, spec: QuantSpec, role: Role, channels: int, channel_dim: int) -> None:
        super().__init__(spec, role, channels, channel_dim)
        self.surrogate = ste
