"""The MLP-like backbone: pixels are mixed by a depthwise 3x3, channels by a pair of 1x1 convolutions (algorithms 4).

    residual   y = x + dw(x),   y + conv2(act(conv1(y)))                                        conv1: C -> r C, conv2: r C -> C
    unit       y = x + dw(x),   h = [y] * r + act1(conv1(y)),   mean of the r parts of h + act2(conv2(h))

`unit` is for one-bit networks: a skip around every quantized convolution. A stream of C channels is laid r times side by
side where it becomes r C (ReActNet's way), and the r parts are averaged where r C become C: y passes both unchanged.

dw stays in full precision whatever `quant` says: it has 9 weights and 9 products per channel, where conv1 and conv2 have
2 r C, and with K = 9 products in a sum one bit leaves it ten values. It is linear, so that the two 1x1 are all that bends.
Around the blocks: a 3x3 head, and a light tail (3x3 to 3 s^2 channels, PixelShuffle) on top of the bilinear picture.

The parts are those of ConvMixer (Trockman and Kolter, 2022) and of MLP-Mixer (Tolstikhin et al., NeurIPS 2021).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from qsr.archs.srresnet import PLAIN, BlockSettings
from qsr.archs.units import DEFAULT_ACTIVATION, Activation, Join, activation, conv3x3

RGB = 3


class MixerBlock(nn.Module):
    """What both blocks share; (N, features, h, w) -> the same. Weights of one fit into the other."""

    def __init__(self, features: int, expansion: int) -> None:
        super().__init__()
        self.expansion = expansion
        self.dw = nn.Conv2d(features, features, 3, padding=1, groups=features)
        self.conv1 = nn.Conv2d(features, expansion * features, 1)
        self.conv2 = nn.Conv2d(expansion * features, features, 1)


class ResidualMixer(MixerBlock):
    """y = x + dw(x), then y + conv2(act(conv1(y)))."""

    def __init__(self, features: int, expansion: int, act: Activation, balanced: bool) -> None:
        super().__init__(features, expansion)
        self.act = activation(act, expansion * features)
        self.join = Join(balanced)

    def forward(self, x: Tensor) -> Tensor:
        y = x + self.dw(x)
        return self.join(y, self.conv2(self.act(self.conv1(y))))


class UnitMixer(MixerBlock):
    """y = x + dw(x), then h = [y] * r + act1(conv1(y)), then mean of the parts of h + act2(conv2(h))."""

    def __init__(self, features: int, expansion: int, act: Activation, balanced: bool) -> None:
        super().__init__(features, expansion)
        self.act1 = activation(act, expansion * features)
        self.act2 = activation(act, features)
        self.join1 = Join(balanced)
        self.join2 = Join(balanced)

    def forward(self, x: Tensor) -> Tensor:
        y = x + self.dw(x)
        h = self.join1(repeated(y, self.expansion), self.conv1(y), self.act1)  # (N, r C, h, w)
        return self.join2(averaged(h, self.expansion), self.conv2(h), self.act2)


MIXERS: dict[str, type[ResidualMixer] | type[UnitMixer]] = {"residual": ResidualMixer, "unit": UnitMixer}


def repeated(x: Tensor, times: int) -> Tensor:
    """(N, C, h, w) -> (N, times C, h, w): channel k C + c is channel c."""
    return x.repeat(1, times, 1, 1)


def averaged(x: Tensor, parts: int) -> Tensor:
    """(N, parts C, h, w) -> (N, C, h, w): channel c is the mean of the channels k C + c."""
    n, channels, h, w = x.shape
    return x.view(n, parts, channels // parts, h, w).mean(1)


class Mixer(nn.Module):
    """Forward: (N, 3, h, w) float in [0, 1] -> (N, 3, s*h, s*w), any h, w >= 1. scale: 2, 3 or 4.

    block.kind: `residual` or `unit` (KeyError for another). window, receptive_field: as in SRResNet.
    """

    window = 1

    def __init__(
        self, num_feat: int = 64, num_block: int = 16, expansion: int = 2, scale: int = 4, block: BlockSettings = PLAIN
    ) -> None:
        super().__init__()
        self.scale = scale
        act = block.activation or DEFAULT_ACTIVATION[block.kind]
        rows = [MIXERS[block.kind](num_feat, expansion, act, block.balanced) for _ in range(num_block)]
        self.conv_first = conv3x3(RGB, num_feat)
        self.body = nn.Sequential(*rows)
        self.conv_last = conv3x3(num_feat, RGB * scale**2)
        self.pixel_shuffle = nn.PixelShuffle(scale)
        self.receptive_field = num_block + 2  # head, depthwise ones and tail reach 1 each; the bilinear base no further
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # as in the msr layout: branches begin small, the picture as the bilinear one
                nn.init.kaiming_normal_(module.weight)
                module.weight.data.mul_(0.1)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        base = F.interpolate(x, scale_factor=float(self.scale), mode="bilinear", align_corners=False)
        return self.pixel_shuffle(self.conv_last(self.body(self.conv_first(x)))) + base
