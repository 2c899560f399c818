"""Both layouts of SRResNet as operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from qsr.archs.depth import DepthStack
from qsr.archs.srresnet import EdsrLayout, MsrLayout
from qsr.archs.units import SLOPE, E2fif, ResidualBlock, Unit
from qsr.export.blocks import e2fif, gain_of, residual_block, unit
from qsr.export.builder import Array, Builder, numbers
from qsr.export.layers import conv
from qsr.runtime.packed.ops import Add, Bilinear, PReLU, Shuffle

BlockLowering = Callable[[Builder, int, str, Any], int]
BLOCKS: dict[type[nn.Module], BlockLowering] = {ResidualBlock: residual_block, Unit: unit, E2fif: e2fif}


def edsr(b: Builder, network: EdsrLayout) -> int:
    """Colours leave their range in front of the first convolution (whose zero padding is the mean colour) and come back
    within the last one."""
    mean = colour_offset(network.mean)
    head = conv(b, coloured(b, mean, network.img_range), "conv_first", network.conv_first)
    inner = body(b, head, "body", network.body, lambda x, name, block: BLOCKS[type(block)](b, x, name, block))
    after = conv(b, inner, "conv_after_body", network.conv_after_body, gain_of(network.skip))
    x = upsampler(b, b.add(Add((head, after))), "upsample", network.upsample)
    return conv(b, x, "conv_last", network.conv_last, 1 / network.img_range, mean)


def msr(b: Builder, network: MsrLayout) -> int:
    """The gain that the body works at is in the head (LeakyReLU lets it through) and taken off within the first upconv."""
    gain, factor = network.input_gain, network.pixel_shuffle.upscale_factor
    x = lrelu(b, conv(b, 0, "conv_first", network.conv_first, gain), SLOPE)
    x = body(b, x, "body", network.body, lambda x, name, block: BLOCKS[type(block)](b, x, name, block))
    x = lrelu(b, conv(b, x, "upconv1", network.upconv1, gain=1 / gain), SLOPE)
    x = b.add(Shuffle((x,), factor))
    if network.upconv2 is not None:
        x = b.add(Shuffle((lrelu(b, conv(b, x, "upconv2", network.upconv2), SLOPE),), factor))
    x = conv(b, lrelu(b, conv(b, x, "conv_hr", network.conv_hr), SLOPE), "conv_last", network.conv_last)
    return b.add(Add((x, b.add(Bilinear((0,), network.scale)))))


def body(b: Builder, x: int, name: str, stack: nn.Module, lower: Callable[[int, str, Any], int]) -> int:
    """The active blocks of a stack; the shortcut scalars of a run of skipped ones are one factor, as in DepthStack."""
    active = stack.active if isinstance(stack, DepthStack) else tuple(range(len(list(stack.children()))))
    skipped = torch.ones(())
    for number, block in enumerate(stack.children()):
        if number not in active:
            skipped = skipped * block.shortcut.detach().cpu()
            continue
        x, skipped = b.affine(x, f"{name}.{number}.skipped", skipped), torch.ones(())
        x = lower(x, f"{name}.{number}", block)
    return b.affine(x, f"{name}.skipped", skipped)


def upsampler(b: Builder, x: int, name: str, layers: nn.Sequential) -> int:
    """Convolutions and PixelShuffles in turn (`archs.srresnet.upsampler`)."""
    for number, layer in enumerate(layers):
        if isinstance(layer, nn.PixelShuffle):
            x = b.add(Shuffle((x,), layer.upscale_factor))
        else:
            x = conv(b, x, f"{name}.{number}", layer)
    return x


def lrelu(b: Builder, x: int, slope: float) -> int:
    return b.add(PReLU((x,), slope))


def colour_offset(mean: torch.Tensor) -> Array:
    """(3,) float64."""
    return numbers(mean).reshape(-1)


def coloured(b: Builder, mean: Array, img_range: float) -> int:
    """(picture - mean) * img_range."""
    return b.affine(0, "colour", img_range, -mean * img_range)
