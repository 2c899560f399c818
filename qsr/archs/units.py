"""Residual blocks of SRResNet: the plain one, and two for one-bit networks with a skip around every convolution.

    residual   x + conv2(act(conv1(x)))                                     EDSR, MSRResNet
    unit       y = x + act1(conv1(x)),          y + act2(conv2(y))          FRB, BBCU, ReActNet's way
    e2fif      y = act(x + norm1(conv1(x))),    y + norm2(conv2(y))         E2FIF (Lang et al., TIP 2022)

All have the convolutions `conv1` and `conv2` with bias, so that the weights of a full-precision residual network fit
into any of them; what the other blocks have besides starts at its own initial value.

Sums of a stream and a branch are modules of their own (`Join`): there a one-bit network's start is balanced
(balance.py), and there a branch can be looked at from outside.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qsr.quant.ranks import mean_over_ranks

BlockKind = Literal["residual", "unit", "e2fif"]
Activation = Literal["relu", "prelu", "rprelu", "lrelu"]
DEFAULT_ACTIVATION: dict[BlockKind, Activation] = {"residual": "relu", "unit": "rprelu", "e2fif": "lrelu"}
SLOPE = 0.1  # of LeakyReLU


def conv3x3(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


class Join(nn.Module):
    """stream + act(gain * y), all of one shape; `act` None: the identity.

    `gain` (0-dim float32 buffer) exists in networks whose start is balanced; None elsewhere. It stands before the
    activation, whose thresholds and offsets are then learned at the size that the branch has in the stream.
    inner: the sum is itself the branch of the next join (a skip around the last layer of a longer branch).
    """

    gain: Tensor | None

    def __init__(self, balanced: bool = False, inner: bool = False) -> None:
        super().__init__()
        self.inner = inner
        self.register_buffer("gain", torch.ones(()) if balanced else None)

    def forward(self, stream: Tensor, y: Tensor, act: nn.Module | None = None) -> Tensor:
        return self.branch(y, act) + stream

    def branch(self, y: Tensor, act: nn.Module | None = None) -> Tensor:
        """What is added to the stream."""
        y = y if self.gain is None else y * self.gain
        return y if act is None else act(y)


class RPReLU(nn.Module):
    """PReLU(y + gamma) + zeta with gamma, zeta (initially 0) and slope (0.25) per channel; y: (N, features, h, w).

    Source: Liu et al., ReActNet, ECCV 2020, eq. 4 (there gamma is subtracted).
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, features, 1, 1))
        self.zeta = nn.Parameter(torch.zeros(1, features, 1, 1))
        self.slope = nn.Parameter(torch.full((features,), 0.25))

    def forward(self, y: Tensor) -> Tensor:
        return F.prelu(y + self.gamma, self.slope) + self.zeta


class RankNorm(nn.BatchNorm2d):
    """Batch norm whose running statistics are the same on every rank; each rank normalises by its own batch.

    The statistics of a step are averaged over the ranks, so that any rank's checkpoint resumes all of them.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.momentum is not None
        with torch.no_grad():
            var, mean = torch.var_mean(x.float(), dim=(0, 2, 3))
            now = mean_over_ranks(torch.stack((mean, var)))
            self.running_mean.lerp_(now[0], self.momentum)
            self.running_var.lerp_(now[1], self.momentum)
        return F.batch_norm(x, None, None, self.weight, self.bias, training=True, eps=self.eps)


def activation(kind: Activation, features: int) -> nn.Module:
    """The activation of one convolution's output."""
    if kind == "rprelu":
        return RPReLU(features)
    if kind == "prelu":
        return nn.PReLU(features)
    return nn.ReLU(inplace=True) if kind == "relu" else nn.LeakyReLU(SLOPE, inplace=True)


class Block(nn.Module):
    """What the three blocks share: (N, features, h, w) -> the same; a dynamic block scales x by its `shortcut`."""

    def __init__(self, features: int, res_scale: float, dynamic: bool) -> None:
        super().__init__()
        self.conv1 = conv3x3(features, features)
        self.conv2 = conv3x3(features, features)
        self.res_scale = res_scale
        self.register_parameter("shortcut", nn.Parameter(torch.ones(())) if dynamic else None)

    def stream(self, x: Tensor) -> Tensor:
        return x if self.shortcut is None else x * self.shortcut

    def scaled(self, branch: Tensor) -> Tensor:
        return branch if self.res_scale == 1.0 else branch * self.res_scale


class ResidualBlock(Block):
    """x + res_scale * conv2(act(conv1(x)))."""

    def __init__(self, features: int, res_scale: float, dynamic: bool, act: Activation, balanced: bool) -> None:
        super().__init__(features, res_scale, dynamic)
        self.act = activation(act, features)
        self.join = Join(balanced)

    def forward(self, x: Tensor) -> Tensor:
        return self.join(self.stream(x), self.scaled(self.conv2(self.act(self.conv1(x)))))


class Unit(Block):
    """y = x + act1(res_scale * conv1(x)), then y + act2(res_scale * conv2(y)): a full-precision skip per convolution."""

    def __init__(self, features: int, res_scale: float, dynamic: bool, act: Activation, balanced: bool) -> None:
        super().__init__(features, res_scale, dynamic)
        self.act1 = activation(act, features)
        self.act2 = activation(act, features)
        self.join1 = Join(balanced)
        self.join2 = Join(balanced)

    def forward(self, x: Tensor) -> Tensor:
        y = self.join1(self.stream(x), self.scaled(self.conv1(x)), self.act1)
        return self.join2(y, self.scaled(self.conv2(y)), self.act2)


class E2fif(Block):
    """y = act(x + res_scale * norm1(conv1(x))), then y + res_scale * norm2(conv2(y))."""

    def __init__(self, features: int, res_scale: float, dynamic: bool, act: Activation, balanced: bool) -> None:
        super().__init__(features, res_scale, dynamic)
        self.norm1 = RankNorm(features)
        self.norm2 = RankNorm(features)
        self.act = activation(act, features)
        self.join1 = Join(balanced)
        self.join2 = Join(balanced)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.join1(self.stream(x), self.scaled(self.norm1(self.conv1(x)))))
        return self.join2(y, self.scaled(self.norm2(self.conv2(y))))


BLOCKS: dict[BlockKind, type[ResidualBlock] | type[Unit] | type[E2fif]] = {
    "residual": ResidualBlock,
    "unit": Unit,
    "e2fif": E2fif,
}
