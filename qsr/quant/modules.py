"""Quantized layers: torch's own Conv2d and Linear, their operands passed through quantizers first.

`weight` and `bias` keep their names, so a full-precision state dict fits; `weight_quant` and `act_quant` come beside
them (None: that side stays in full precision). Zero padding follows quantization: a padded position is code 0.

>>> from qsr.spec import QuantSpec
>>> layer = QConv2d.from_float(nn.Conv2d(8, 16, 3, padding=1), QuantSpec("lsq", 4), QuantSpec("lsq", 4))
>>> layer(torch.rand(1, 8, 5, 5)).shape
torch.Size([1, 16, 5, 5])
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qsr.quant.base import Quantizer, create
from qsr.quant.learned_step import LearnedStep
from qsr.spec import QuantSpec


class QConv2d(nn.Conv2d):
    """Conv2d of a quantized input with a quantized weight; x: (N, C, H, W) or (C, H, W) float."""

    weight_quant: Quantizer | None
    act_quant: Quantizer | None

    @classmethod
    def from_float(cls, conv: nn.Conv2d, weight: QuantSpec | None, act: QuantSpec | None) -> QConv2d:
        """A quantized layer around the very parameters of `conv` (shared, not copied)."""
        layer = cls(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,  # type: ignore[arg-type]
            conv.stride,  # type: ignore[arg-type]
            conv.padding,  # type: ignore[arg-type]
            conv.dilation,  # type: ignore[arg-type]
            conv.groups,
            bias=conv.bias is not None,
            padding_mode=conv.padding_mode,
            device="meta",
        )
        _adopt(layer, conv, weight, act, conv.out_channels, conv.in_channels, channel_dim=1)
        return layer

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() == 3:  # a shift of shape (1, C, 1, 1) needs the batch axis
            return self.forward(x[None])[0]
        x_hat = x if self.act_quant is None else self.act_quant(x)
        w_hat = self.weight if self.weight_quant is None else self.weight_quant(self.weight)
        factor = None if self.act_quant is None else self.act_quant.output_scale(x, self)
        if factor is None:
            return self._conv_forward(x_hat, w_hat, self.bias)
        y = self._conv_forward(x_hat, w_hat, None) * factor
        return y if self.bias is None else y + self.bias.view(-1, 1, 1)


class QLinear(nn.Linear):
    """Linear of a quantized input with a quantized weight; x: (..., in_features) float."""

    weight_quant: Quantizer | None
    act_quant: Quantizer | None

    @classmethod
    def from_float(cls, linear: nn.Linear, weight: QuantSpec | None, act: QuantSpec | None) -> QLinear:
        """A quantized layer around the very parameters of `linear` (shared, not copied)."""
        layer = cls(linear.in_features, linear.out_features, bias=linear.bias is not None, device="meta")
        _adopt(layer, linear, weight, act, linear.out_features, linear.in_features, channel_dim=-1)
        return layer

    def forward(self, x: Tensor) -> Tensor:
        x_hat = x if self.act_quant is None else self.act_quant(x)
        w_hat = self.weight if self.weight_quant is None else self.weight_quant(self.weight)
        return F.linear(x_hat, w_hat, self.bias)


def _adopt(
    layer: QConv2d | QLinear,
    source: nn.Conv2d | nn.Linear,
    weight: QuantSpec | None,
    act: QuantSpec | None,
    c_out: int,
    c_in: int,
    channel_dim: int,
) -> None:
    layer.weight, layer.bias = source.weight, source.bias
    layer.weight_quant = create(weight, "weight", c_out, 0) if weight else None
    layer.act_quant = create(act, "act", c_in, channel_dim) if act else None
    if layer.weight_quant is not None:
        layer.weight_quant.bind(source.weight.shape)
    for quantizer in (layer.weight_quant, layer.act_quant):
        if quantizer is not None:
            quantizer.to(source.weight.device)
    layer.train(source.training)


def quantizers(network: nn.Module) -> list[tuple[str, Quantizer]]:
    """Every quantizer of the network with its dotted name, each once."""
    return [(name, module) for name, module in network.named_modules() if isinstance(module, Quantizer)]


def initial_weights(network: nn.Module) -> None:
    """Let the weight quantizers that observe take their step sizes from the weights, without a forward pass."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, QConv2d | QLinear) and module.weight_quant is not None:
                module.weight_quant(module.weight)


@torch.no_grad()
def absorb_shifts(network: nn.Module, fresh: set[Quantizer]) -> None:
    """Take what the initial shifts of the activation quantizers `fresh` add to a layer's output off its bias.

    Codes stand for x + shift, so the output grows by the sum of w_hat * shift; exact but for the zero-padded border.
    Layers without a bias, and grouped convolutions, keep what the shift adds.
    """
    for layer in network.modules():
        if not isinstance(layer, QConv2d | QLinear) or layer.act_quant not in fresh or layer.bias is None:
            continue
        quantizer = layer.act_quant
        shift = quantizer.shift if isinstance(quantizer, LearnedStep) and quantizer.plain else None  # LSQ+ takes its own off
        if shift is None or not shift.any() or getattr(layer, "groups", 1) > 1:
            continue
        w_hat = layer.weight if layer.weight_quant is None else layer.weight_quant(layer.weight)
        per_input = w_hat.flatten(2).sum(2) if w_hat.dim() == 4 else w_hat
        layer.bias -= (per_input @ shift.reshape(-1).to(w_hat.dtype)).to(layer.bias.dtype)
