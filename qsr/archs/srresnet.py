"""SRResNet without batch norm, in the two layouts that the field calls by that name (algorithms 1.3).

edsr (QuantSR-C): (x - mean) * 255, head, blocks, conv_after_body with a global skip, upsampler, last conv, undone range.
msr (BasicSR's MSRResNet, FRB): head, blocks, upsampler and conv_hr with LeakyReLU(0.1), plus the bilinear upscaled input.

Both have the same weights: 1,367,424 at x2 with 16 blocks of 64 features. Parameter names are BasicSR's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qsr.archs.depth import DepthStack
from qsr.archs.units import BLOCKS, DEFAULT_ACTIVATION, SLOPE, Activation, BlockKind, Join, conv3x3

Layout = Literal["edsr", "msr"]
DIV2K_MEAN = (0.4488, 0.4371, 0.4040)


@dataclass(frozen=True)
class BlockSettings:
    """Which residual block a body has; activation None: the block's own (units.DEFAULT_ACTIVATION).

    balanced: the sums have a `gain`, for a start by balance.py.
    """

    kind: BlockKind = "residual"
    activation: Activation | None = None
    balanced: bool = False


PLAIN = BlockSettings()


def make_body(
    features: int, blocks: int, res_scale: float, depths: tuple[int, ...], block: BlockSettings = PLAIN
) -> nn.Sequential:
    """The residual blocks; a DepthStack when `depths` (largest first, depths[0] == blocks) is not empty."""
    act = block.activation or DEFAULT_ACTIVATION[block.kind]
    rows = [BLOCKS[block.kind](features, res_scale, bool(depths), act, block.balanced) for _ in range(blocks)]
    return DepthStack(rows, depths) if depths else nn.Sequential(*rows)


def upsampler(features: int, scale: int) -> nn.Sequential:
    """(N, features, h, w) -> (N, features, s*h, s*w): conv + PixelShuffle, two of factor 2 for x4."""
    layers: list[nn.Module] = []
    for factor in (2, 2) if scale == 4 else (scale,):
        layers += [conv3x3(features, features * factor**2), nn.PixelShuffle(factor)]
    return nn.Sequential(*layers)


def colour_mean(rgb_mean: tuple[float, ...], channels: int) -> Tensor:
    """(1, 3, 1, 1) mean colour, or (1, 1, 1, 1) zero for pictures that are not RGB."""
    return torch.tensor(rgb_mean).view(1, 3, 1, 1) if channels == 3 else torch.zeros(1, 1, 1, 1)


class SRResNet(nn.Module):
    """The common constructor of both layouts; use `EdsrLayout` or `MsrLayout`.

    Forward: (N, num_in_ch, h, w) float in [0, 1] -> (N, num_out_ch, s*h, s*w), any h, w >= 1.
    scale: 2, 3 or 4. window: 1, every size is taken as it is.
    receptive_field: LR pixels on each side that an output pixel can depend on (at full depth).
    """

    window = 1
    receptive_field: int

    def __init__(
        self,
        num_in_ch: int,
        num_feat: int,
        num_block: int,
        scale: int,
        res_scale: float,
        depths: tuple[int, ...],
        block: BlockSettings,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.conv_first = conv3x3(num_in_ch, num_feat)
        self.body = make_body(num_feat, num_block, res_scale, depths, block)


class EdsrLayout(SRResNet):
    """EDSR-baseline layout; source: Lim et al., CVPRW 2017, and QuantSR-C's backbone."""

    mean: Tensor

    def __init__(
        self,
        num_in_ch: int = 3,
        num_out_ch: int = 3,
        num_feat: int = 64,
        num_block: int = 16,
        scale: int = 4,
        res_scale: float = 1.0,
        img_range: float = 255.0,
        rgb_mean: tuple[float, float, float] = DIV2K_MEAN,
        depths: tuple[int, ...] = (),
        block: BlockSettings = PLAIN,
    ) -> None:
        super().__init__(num_in_ch, num_feat, num_block, scale, res_scale, depths, block)
        self.img_range = img_range
        self.register_buffer("mean", colour_mean(rgb_mean, num_in_ch), persistent=False)
        self.conv_after_body = conv3x3(num_feat, num_feat)
        self.skip = Join()
        self.upsample = upsampler(num_feat, scale)
        self.conv_last = conv3x3(num_feat, num_out_ch)
        # head, conv_after_body and the first upsampling conv reach 1 each; what lies at higher resolution adds 1 in all
        self.receptive_field = 2 * num_block + 4

    def forward(self, x: Tensor) -> Tensor:
        head = self.conv_first((x - self.mean) * self.img_range)
        features = self.skip(head, self.conv_after_body(self.body(head)))
        return self.conv_last(self.upsample(features)) / self.img_range + self.mean


class MsrLayout(SRResNet):
    """MSRResNet layout; source: Wang et al., ESRGAN, ECCVW 2018, as in BasicSR.

    input_gain: the body works on features times this, which takes the place that batch norm has in other one-bit
    networks (BBCU: 130). That is net(K x) / K, since all between input and output is homogeneous but for the biases;
    those of head and tail keep the size that they have in a full-precision network without it.
    """

    def __init__(
        self,
        num_in_ch: int = 3,
        num_out_ch: int = 3,
        num_feat: int = 64,
        num_block: int = 16,
        scale: int = 4,
        res_scale: float = 1.0,
        depths: tuple[int, ...] = (),
        block: BlockSettings = PLAIN,
        input_gain: float = 1.0,
    ) -> None:
        super().__init__(num_in_ch, num_feat, num_block, scale, res_scale, depths, block)
        self.input_gain = input_gain
        factor = 2 if scale == 4 else scale
        self.upconv1 = conv3x3(num_feat, num_feat * factor**2)
        self.upconv2 = conv3x3(num_feat, num_feat * factor**2) if scale == 4 else None
        self.pixel_shuffle = nn.PixelShuffle(factor)
        self.conv_hr = conv3x3(num_feat, num_feat)
        self.conv_last = conv3x3(num_feat, num_out_ch)
        # head and upconv1 reach 1 each; upconv2, conv_hr, conv_last and the bilinear base add 1 in all
        self.receptive_field = 2 * num_block + 3
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
                module.weight.data.mul_(0.1)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        features = F.leaky_relu(self.conv_first(x), SLOPE)
        gain = self.input_gain
        features = self.body(features) if gain == 1.0 else self.body(features * gain) / gain
        features = F.leaky_relu(self.pixel_shuffle(self.upconv1(features)), SLOPE, inplace=True)
        if self.upconv2 is not None:
            features = F.leaky_relu(self.pixel_shuffle(self.upconv2(features)), SLOPE, inplace=True)
        features = F.leaky_relu(self.conv_hr(features), SLOPE, inplace=True)
        base = F.interpolate(x, scale_factor=float(self.scale), mode="bilinear", align_corners=False)
        return self.conv_last(features) + base
