"""XNOR-Net (Rastegari et al., ECCV 2016, arXiv:1603.05279).

    weights:      w_hat = m_o sign(w),   m_o = mean|w_o| per output channel,   dL/dw = g * 1[|w| <= 1]
    activations:  a_hat = K sign(a),                                           dL/da = g * K * 1[|a| <= 1]

m_o and K are constants of the backward pass. m_o does not scale the gradient (the convention of the public codes); K
stands for a factor of the layer's output, so the chain rule carries it to the input.

What K is, `act_scale` says:
    sample   mean|a| of each picture, of each token for linear layers: one number, free to deploy (the benchmark codes)
    spatial  the paper's map (its section 3.2): mean_c|a| averaged over the filter's window, multiplied on the output.
             A window at the border counts its padding as zeros. Linear layers have no window: as `sample`.

The benchmark code centres the weights of linear layers, not those of convolutions; here neither is centred.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from qsr.quant.base import Accepts, Role, widened
from qsr.quant.binarizer import Binarizer
from qsr.quant.signs import ste
from qsr.spec import QuantSpec


class XNOR(Binarizer):
    """Setting of activations: act_scale ("sample" or "spatial"). Granularity "tensor": one m for the layer."""

    accepts: ClassVar[dict[str, Accepts]] = {"act_scale": ("sample", "spatial")}
    act_only: ClassVar[frozenset[str]] = frozenset({"act_scale"})

    def __init__(self, spec: QuantSpec, role: Role, channels: int, channel_dim: int) -> None:
        super().__init__(spec, role, channels, channel_dim)
        self.surrogate = ste
        self.chained = role == "act"
        self._spatial = channel_dim == 1 and spec.param("act_scale", "sample") == "spatial"

    def scale_of(self, x: Tensor) -> Tensor | None:
        if self.role == "weight":
            return self.magnitude(x)
        if self._spatial:
            return None
        axes = tuple(range(1, x.dim())) if self.channel_dim == 1 else (-1,)
        return x.detach().abs().mean(dim=axes, keepdim=True)

    @torch.no_grad()
    def output_scale(self, x: Tensor, layer: nn.Conv2d) -> Tensor | None:
        """K of act_scale "spatial": (N, 1, H', W'), or (N, C_out, H', W') where the layer has groups."""
        if not self._spatial:
            return None
        wide = widened(x)
        size = wide.abs().unflatten(1, (layer.groups, -1)).mean(2)  # each group sees its own channels
        box = size.new_ones(layer.groups, 1, *layer.kernel_size) / (layer.kernel_size[0] * layer.kernel_size[1])
        averaged = layer._conv_forward(size, box, None)  # its stride, padding and groups
        return averaged if layer.groups == 1 else averaged.repeat_interleave(layer.out_channels // layer.groups, dim=1)
