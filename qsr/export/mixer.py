"""Mixer, the MLP-like backbone, as operations."""

from __future__ import annotations

from typing import Any

from torch import nn

from qsr.archs.mixer import Mixer, MixerBlock, ResidualMixer, UnitMixer
from qsr.export.blocks import conv_act, gain_of
from qsr.export.builder import Builder
from qsr.export.layers import conv, depthwise
from qsr.runtime.packed.ops import Add, Average, Bilinear, Repeat, Shuffle


def mixer(b: Builder, network: Mixer) -> int:
    x = conv(b, 0, "conv_first", network.conv_first)
    for number, block in enumerate(network.body):
        x = BLOCKS[type(block)](b, x, f"body.{number}", block)
    x = b.add(Shuffle((conv(b, x, "conv_last", network.conv_last),), network.scale))
    return b.add(Add((x, b.add(Bilinear((0,), network.scale)))))


def residual_mixer(b: Builder, x: int, name: str, block: ResidualMixer) -> int:
    y = _mixed(b, x, name, block)
    inner = conv_act(b, y, f"{name}.conv1", block.conv1, f"{name}.act", block.act)
    return b.add(Add((y, conv(b, inner, f"{name}.conv2", block.conv2, gain_of(block.join)))))


def unit_mixer(b: Builder, x: int, name: str, block: UnitMixer) -> int:
    """Parts of one stream are its own channels again: with an expansion of 1 nothing is repeated or averaged."""
    y, times = _mixed(b, x, name, block), block.expansion
    wide = b.add(Repeat((y,), times)) if times > 1 else y
    branch = conv_act(b, y, f"{name}.conv1", block.conv1, f"{name}.act1", block.act1, gain_of(block.join1))
    h = b.add(Add((wide, branch)))
    stream = b.add(Average((h,), times)) if times > 1 else h
    return b.add(Add((stream, conv_act(b, h, f"{name}.conv2", block.conv2, f"{name}.act2", block.act2, gain_of(block.join2)))))


BLOCKS: dict[type[nn.Module], Any] = {ResidualMixer: residual_mixer, UnitMixer: unit_mixer}


def _mixed(b: Builder, x: int, name: str, block: MixerBlock) -> int:
    return b.add(Add((x, depthwise(b, x, f"{name}.dw", block.dw))))
