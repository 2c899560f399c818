"""A layer's weight as it is stored: codes of the trained quantizer with its scale, or floats.

What a layer's output is multiplied with right behind it (gains, batch norm) goes into the scale. A negative factor turns
the codes around, which all codes survive but the lowest signed one.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from qsr.errors import OptionsError
from qsr.export.builder import Array, Shared, numbers
from qsr.quant import Codes
from qsr.quant.base import SignCodes
from qsr.quant.modules import QConv2d, QLinear
from qsr.runtime.bits import pack_bits
from qsr.runtime.packed.ops import FloatWeight, SignWeight, UniformWeight, Weight

LARGEST_HALF = float(np.finfo(np.float16).max)


def weight_of(shared: Shared, name: str, layer: nn.Module, factor: Array) -> Weight | None:
    """The weight times `factor`, float64, 0-dim or one per output channel; None where codes cannot express that."""
    quantizer = layer.weight_quant if isinstance(layer, QConv2d | QLinear) else None
    if quantizer is None:
        return _floats(shared, name, layer, factor)
    codes = quantizer.encode(layer.weight.detach())
    return _signs(shared, name, codes, factor) if isinstance(codes, SignCodes) else _uniform(shared, name, codes, factor)


def depthwise_weight(shared: Shared, name: str, layer: nn.Conv2d) -> FloatWeight:
    """The weight of a depthwise convolution, (C, kh, kw). OptionsError where it is quantized."""
    if isinstance(layer, QConv2d):
        raise OptionsError("a depthwise convolution is packed in full precision only", where=f"layer {name}")
    return _floats(shared, name, layer, np.array(1.0), (layer.out_channels, *layer.kernel_size))


def is_odd(codes: Codes) -> bool:
    """Whether levels are the odd multiples of half a step (DoReFa). OptionsError for any other offset."""
    if codes.offset is None:
        return False
    middle = codes.scale * ((2**codes.bits - 1) / 2)
    if codes.signed or not torch.allclose(codes.offset, -middle):
        raise OptionsError("weight codes with an offset that is not the middle of their levels cannot be packed")
    return True


def _uniform(shared: Shared, name: str, codes: Codes, factor: Array) -> UniformWeight | None:
    q, odd = codes.q.cpu().numpy().astype(np.int16), is_odd(codes)
    scale = np.broadcast_to(numbers(codes.scale).reshape(-1) * (0.5 if odd else 1.0) * factor, len(q)).copy()
    turned, gone = scale < 0, scale == 0
    lowest = 0 if odd else -(2 ** (codes.bits - 1))
    if (not odd and (q[turned] == lowest).any()) or (odd and gone.any()):
        return None
    q[turned] = 2**codes.bits - 1 - q[turned] if odd else -q[turned]
    q[gone], scale[gone] = 0, 1.0  # a scale is above 0
    stream = shared.keep(f"{name}.weight", pack_bits(q, codes.bits, signed=not odd))
    return UniformWeight(stream, codes.bits, shared.vector(f"{name}.scale", np.abs(scale)), odd, codes.narrow)


def _signs(shared: Shared, name: str, codes: SignCodes, factor: Array) -> SignWeight:
    negative = codes.q.cpu().numpy() < 0  # (planes, O, ...)
    scale = numbers(codes.scale).reshape(codes.planes, -1) * np.abs(factor)
    turned = np.broadcast_to(factor < 0, negative.shape[1])
    negative[:, turned] = ~negative[:, turned]
    stream = shared.keep(f"{name}.weight", pack_bits(negative.astype(np.int16), 1, signed=False))
    names = [f"{name}.scale" if codes.planes == 1 else f"{name}.scale{plane}" for plane in range(codes.planes)]
    return SignWeight(stream, tuple(shared.vector(own, row) for own, row in zip(names, scale, strict=True)))


def _floats(shared: Shared, name: str, layer: nn.Module, factor: Array, shape: tuple[int, ...] | None = None) -> FloatWeight:
    """shape: of the tensor in the file; None: the weight's own."""
    weight = numbers(layer.weight)
    by = factor.reshape(-1, *(1,) * (weight.ndim - 1)) if factor.ndim else factor
    stored = (weight * by).astype(np.float32)
    if shared.half(name) and np.abs(stored).max() <= LARGEST_HALF:
        stored = stored.astype(np.float16)
        own = np.divide(stored, by, out=weight.copy(), where=np.broadcast_to(by != 0, weight.shape))
        shared.rounded[name] = torch.from_numpy(own.astype(np.float32))
    return FloatWeight(shared.keep(f"{name}.weight", stored if shape is None else stored.reshape(shape)))
