"""Convolutions and linear layers, whatever quantizes them, with what follows them folded in."""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

from qsr.errors import OptionsError
from qsr.export.acts import act_of, input_of
from qsr.export.builder import Array, Builder, Shared, numbers
from qsr.export.weights import depthwise_weight, weight_of
from qsr.quant.modules import QConv2d, QLinear
from qsr.runtime.packed.ops import Conv, Depthwise, Linear, SignAct, UniformAct


def conv(
    b: Builder,
    x: int,
    name: str,
    layer: nn.Conv2d,
    factor: Array | Tensor | float = 1.0,
    offset: Array | Tensor | float = 0.0,
    gain: float = 1.0,
) -> int:
    """layer(gain * x) * factor + offset.

    factor, offset: one number, or one per output channel; they become part of weight and bias, unless the codes cannot
    express that. gain: of an input that is not quantized it becomes part of the weight as well.
    """
    _check_plain(name, layer)
    quantizer = layer.act_quant if isinstance(layer, QConv2d) else None
    if quantizer is not None:
        x, gain = b.affine(x, f"{name}.input", gain), 1.0
    x, act = input_of(b, x, name, quantizer)
    by, plus = numbers(factor).reshape(-1), numbers(offset).reshape(-1)
    bias = np.zeros(1) if layer.bias is None else numbers(layer.bias)
    weight = weight_of(b.shared, name, layer, by * gain)
    later = weight is None
    if weight is None:
        weight = weight_of(b.shared, name, layer, np.array([gain]))
        assert weight is not None, "a positive factor leaves codes as they are"
    kernel = (int(layer.kernel_size[0]), int(layer.kernel_size[1]))
    total = b.shared.vector(f"{name}.bias", bias if later else bias * by + plus)
    y = b.add(Conv((x,), name, layer.in_channels, layer.out_channels, kernel, weight, act, total))
    return b.affine(y, f"{name}.output", by, plus) if later else y


def depthwise(b: Builder, x: int, name: str, layer: nn.Conv2d) -> int:
    """layer(x), one group for each channel."""
    _check_plain(name, layer, groups=layer.in_channels)
    weight = depthwise_weight(b.shared, name, layer)
    bias = 0.0 if layer.bias is None else b.shared.vector(f"{name}.bias", layer.bias)
    return b.add(Depthwise((x,), name, layer.in_channels, (int(layer.kernel_size[0]), int(layer.kernel_size[1])), weight, bias))


def linear(shared: Shared, name: str, layer: nn.Linear, factor: float = 1.0) -> Linear:
    """layer(x) * factor, inside a Swin layer."""
    quantizer = layer.act_quant if isinstance(layer, QLinear) else None
    act = None if quantizer is None else act_of(shared, name, quantizer)
    weight = weight_of(shared, name, layer, np.array([factor]))
    if weight is None:
        raise OptionsError(f"codes of {factor:g} times the weight cannot be packed", where=f"layer {name}")
    assert act is None or isinstance(act, UniformAct | SignAct)
    bias = 0.0 if layer.bias is None else shared.vector(f"{name}.bias", numbers(layer.bias) * factor)
    return Linear(name, layer.in_features, layer.out_features, weight, act, bias)


def _check_plain(name: str, layer: nn.Conv2d, groups: int = 1) -> None:
    """Stride 1, zero padding that keeps the size, so many groups: what the operations Conv and Depthwise are."""
    same = tuple((side - 1) // 2 for side in layer.kernel_size)
    plain = layer.stride == (1, 1) and layer.dilation == (1, 1) and layer.groups == groups and layer.padding_mode == "zeros"
    if not plain or layer.padding != same or not all(side % 2 for side in layer.kernel_size):
        raise OptionsError(f"a convolution such as {layer} cannot be packed", where=f"layer {name}", hint="see docs/format.md")
