"""The average is the formula's, leaves the network alone, and comes back from a checkpoint."""

from __future__ import annotations

import contextlib

import pytest
import torch
from torch import nn

from qsr.train.ema import Ema


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def shifted(network: nn.Module, by: float) -> None:
    with torch.no_grad():
        for weight in network.parameters():
            weight += by


def test_update_is_the_formula_with_a_warm_start(network: nn.Module) -> None:
    ema = Ema(network, 0.9)
    expected = network[0].bias.detach().clone()
    for t in range(100):
        shifted(network, 0.1)
        ema.update(t)
        decay = min(0.9, (1 + t) / (10 + t))
        expected = decay * expected + (1 - decay) * network[0].bias.detach()
    torch.testing.assert_close(ema.shadow["0.bias"], expected)


def test_applied_is_undone_bit_for_bit_also_after_an_error(network: nn.Module) -> None:
    ema = Ema(network, 0.9)
    average = network[0].weight.detach().clone()
    shifted(network, 0.1)
    own = network[0].weight.detach().clone()
    with ema.applied(network):
        assert torch.equal(network[0].weight, average)
    assert torch.equal(network[0].weight, own)
    with contextlib.suppress(RuntimeError), ema.applied(network):
        raise RuntimeError("validation failed")
    assert torch.equal(network[0].weight, own)


def test_buffers_are_the_networks_not_averaged(network: nn.Module) -> None:
    ema = Ema(network, 0.9)
    network[1].num_batches_tracked += 5
    assert ema.state(network)["1.num_batches_tracked"] == 5


def test_load_takes_over_saved_averages(network: nn.Module) -> None:
    ema = Ema(network, 0.9)
    saved = {name: torch.full_like(value, 2) for name, value in ema.shadow.items()}
    ema.load(saved)
    assert torch.equal(ema.shadow["0.weight"], saved["0.weight"])
