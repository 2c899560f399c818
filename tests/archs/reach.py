"""How far a network really looks, for the tests of all backbones."""

from __future__ import annotations

import torch
from torch import nn


def assert_receptive_field(network: nn.Module, scale: int) -> None:
    """The gradient of one LR pixel's outputs reaches receptive_field pixels on each side and not one more."""
    network = network.double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(0.1)  # positive weights: no ReLU is closed and nothing cancels
    reach = network.receptive_field
    size, centre = 2 * reach + 7, reach + 3
    image = torch.ones(1, 3, size, size, dtype=torch.float64, requires_grad=True)
    block = slice(scale * centre, scale * (centre + 1))
    network(image)[:, :, block, block].sum().backward()
    touched = image.grad[0, 0].abs().sum(0).nonzero().flatten().tolist()
    assert touched == list(range(centre - reach, centre + reach + 1))
