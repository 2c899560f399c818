"""What a loss is, and pixel losses: on RGB in [0, 1], always in float32, since under bf16 autocast a difference of two
near-equal pictures would lose the digits that matter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from qsr.options.schema import PixelLoss

T = TypeVar("T")
Pixel = Callable[[Tensor, Tensor], Tensor]
"""(sr, hr), both (N, C, H, W) -> scalar float32."""

Terms = dict[str, Tensor]
Loss = Callable[[nn.Module, Tensor, Tensor, int], tuple[Tensor, Terms]]
"""(network, lq, gt, iteration) -> (scalar to minimise, its parts by name for the log)."""


def l1(sr: Tensor, hr: Tensor) -> Tensor:
    return (sr - hr).abs()


def mse(sr: Tensor, hr: Tensor) -> Tensor:
    return (sr - hr).square()


def charbonnier(sr: Tensor, hr: Tensor, eps: float = 1e-12) -> Tensor:
    """sqrt((sr - hr)^2 + eps), elementwise (Lai et al., LapSRN, CVPR 2017)."""
    return ((sr - hr).square() + eps).sqrt()


def build(options: PixelLoss) -> Pixel:
    """The pixel loss that an option file asks for, weighted and reduced to a scalar."""
    elementwise: Pixel = {
        "L1Loss": l1,
        "MSELoss": mse,
        "CharbonnierLoss": lambda sr, hr: charbonnier(sr, hr, options.eps),
    }[options.type]
    reduce = torch.mean if options.reduction == "mean" else torch.sum
    return lambda sr, hr: options.loss_weight * reduce(elementwise(sr.float(), hr.float()))


class Remembered(Generic[T]):
    """`find(network)`, its answer kept for the network it was last asked about."""

    def __init__(self, find: Callable[[nn.Module], T]) -> None:
        self._find = find
        self._known: tuple[nn.Module, T] | None = None

    def __call__(self, network: nn.Module) -> T:
        if self._known is None or self._known[0] is not network:
            self._known = (network, self._find(network))
        return self._known[1]
