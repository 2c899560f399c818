"""Exponential moving average of a network's weights: what is validated and shipped.

Parameters are averaged; buffers (quantizer flags, the frozen order of blocks) are copied, because half a flag
means nothing. Early in a stage the decay is smaller, min(decay, (1 + t) / (10 + t)): with 0.999 from the first step,
the random initialisation would still be half of the average after 700 steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Ema:
    """shadow <- d shadow + (1 - d) weight after each step; `shadow` has the network's state-dict names."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.shadow: dict[str, Tensor] = {name: value.detach().clone() for name, value in network.state_dict().items()}
        self._averaged = [name for name, _ in network.named_parameters()]
        self._weights = [weight for _, weight in network.named_parameters()]

    @torch.no_grad()
    def update(self, t: int) -> None:
        """Take in the weights after step t = 0, 1, ... of a stage."""
        decay = min(self.decay, (1 + t) / (10 + t))
        torch._foreach_lerp_([self.shadow[name] for name in self._averaged], self._weights, 1 - decay)

    @contextmanager
    def applied(self, network: nn.Module) -> Iterator[None]:
        """Inside, `network` has the averaged weights (and its own buffers); afterwards its own, bit for bit."""
        own = [weight.detach().clone() for weight in self._weights]
        _assign(self._weights, [self.shadow[name] for name in self._averaged])
        try:
            yield
        finally:
            _assign(self._weights, own)

    def state(self, network: nn.Module) -> dict[str, Tensor]:
        """Averaged weights with the network's buffers as they are now."""
        averaged = set(self._averaged)
        return {name: self.shadow[name] if name in averaged else value for name, value in network.state_dict().items()}

    def load(self, state: dict[str, Tensor]) -> None:
        """Take over saved averages (names and shapes as in `shadow`)."""
        with torch.no_grad():
            for name, value in self.shadow.items():
                value.copy_(state[name])


@torch.no_grad()
def _assign(targets: list[nn.Parameter], values: list[Tensor]) -> None:
    for target, value in zip(targets, values, strict=True):
        target.copy_(value)
