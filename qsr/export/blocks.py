"""Activations, sums and residual blocks of SRResNet (qsr/archs/units.py), one function for each class."""

from __future__ import annotations

import numpy as np
from torch import nn

from qsr.archs.units import Block, E2fif, Join, RankNorm, ResidualBlock, RPReLU, Unit
from qsr.export.builder import Array, Builder, numbers
from qsr.export.layers import conv
from qsr.runtime.packed.ops import Add, PReLU


def gain_of(join: Join) -> float:
    return 1.0 if join.gain is None else float(join.gain)


def activation(b: Builder, x: int, name: str, act: nn.Module, moved: bool = False) -> int:
    """act(x); moved: what RPReLU adds first is in x already. Any module but those of `units.activation` is a TypeError."""
    before: Array | float = 0.0
    after: Array | float = 0.0
    if isinstance(act, RPReLU):
        slope, after = numbers(act.slope), numbers(act.zeta)
        before = 0.0 if moved else numbers(act.gamma)
    elif isinstance(act, nn.PReLU):
        slope = numbers(act.weight)
    elif isinstance(act, nn.LeakyReLU):
        slope = np.array(act.negative_slope)
    elif isinstance(act, nn.ReLU):
        slope = np.array(0.0)
    else:
        raise TypeError(f"{name}: {type(act).__name__} is no activation of qsr's")
    vector = b.shared.vector
    return b.add(PReLU((x,), vector(f"{name}.slope", slope), vector(f"{name}.before", before), vector(f"{name}.after", after)))


def conv_act(b: Builder, x: int, name: str, layer: nn.Conv2d, act_name: str, act: nn.Module, factor: float = 1.0) -> int:
    """act(factor * layer(x)); what RPReLU adds first is part of the bias."""
    return activation(b, conv(b, x, name, layer, factor, act.gamma if isinstance(act, RPReLU) else 0.0), act_name, act, True)


def residual_block(b: Builder, x: int, name: str, block: ResidualBlock) -> int:
    inner = conv_act(b, x, f"{name}.conv1", block.conv1, f"{name}.act", block.act)
    branch = conv(b, inner, f"{name}.conv2", block.conv2, block.res_scale * gain_of(block.join))
    return b.add(Add((_stream(b, x, name, block), branch)))


def unit(b: Builder, x: int, name: str, block: Unit) -> int:
    first, second = (block.res_scale * gain_of(join) for join in (block.join1, block.join2))
    branch = conv_act(b, x, f"{name}.conv1", block.conv1, f"{name}.act1", block.act1, first)
    y = b.add(Add((_stream(b, x, name, block), branch)))
    return b.add(Add((y, conv_act(b, y, f"{name}.conv2", block.conv2, f"{name}.act2", block.act2, second))))


def e2fif(b: Builder, x: int, name: str, block: E2fif) -> int:
    branch = _normed(b, x, f"{name}.conv1", block.conv1, block.norm1, block.res_scale * gain_of(block.join1))
    y = activation(b, b.add(Add((_stream(b, x, name, block), branch))), f"{name}.act", block.act)
    branch = _normed(b, y, f"{name}.conv2", block.conv2, block.norm2, block.res_scale * gain_of(block.join2))
    return b.add(Add((y, branch)))


def _stream(b: Builder, x: int, name: str, block: Block) -> int:
    return x if block.shortcut is None else b.affine(x, f"{name}.shortcut", block.shortcut)


def _normed(b: Builder, x: int, name: str, layer: nn.Conv2d, norm: RankNorm, gain: float) -> int:
    """gain * norm(layer(x)), with the statistics that training left."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    factor = numbers(norm.weight) / np.sqrt(numbers(norm.running_var) + norm.eps)
    return conv(b, x, name, layer, gain * factor, gain * (numbers(norm.bias) - numbers(norm.running_mean) * factor))
