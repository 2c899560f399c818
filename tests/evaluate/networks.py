"""Tiny networks for the tests of tiling and upscaling (no quantizers room needed, but rounding as they do it)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TinyConv(nn.Module):
    """Head, `blocks` residual convolutions, pixel shuffle. `levels` rounds activations as a quantizer does."""

    window = 1

    def __init__(self, scale: int = 2, feats: int = 8, blocks: int = 2, levels: int | None = 3, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.scale, self.levels = scale, levels
        self.head = nn.Conv2d(3, feats, 3, padding=1)
        self.body = nn.ModuleList(nn.Conv2d(feats, feats, 3, padding=1) for _ in range(blocks))
        self.up = nn.Conv2d(feats, 3 * scale**2, 3, padding=1)
        self.receptive_field = blocks + 2 + 1  # one per convolution, one for the bilinear base

    def forward(self, x: Tensor) -> Tensor:
        y = self.head(x - 0.5)
        for conv in self.body:
            z = F.relu(y)
            y = y + conv((z * self.levels).round() / self.levels if self.levels else z)
        base = F.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=False)
        return base + F.pixel_shuffle(self.up(y), self.scale)


class Enlarge(nn.Module):
    """Nearest neighbour: what comes out is known exactly."""

    window, receptive_field = 1, 0

    def __init__(self, scale: int = 2, gain: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        self.gain = nn.Parameter(torch.tensor(gain))

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * F.interpolate(x, scale_factor=self.scale, mode="nearest")
