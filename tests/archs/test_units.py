"""Blocks against their definitions, and what they share with the plain residual block."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qsr.archs import units
from qsr.archs.units import BLOCKS, E2fif, Join, RankNorm, ResidualBlock, RPReLU, Unit, activation

FEATURES = 4


@pytest.fixture
def x() -> Tensor:
    torch.manual_seed(0)
    return torch.randn(2, FEATURES, 6, 5)


def randomised(module: nn.Module) -> nn.Module:
    """Every parameter away from its initial value, so that none can be left out unnoticed."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    return module


def test_join_without_a_gain_is_a_plain_sum(x: Tensor) -> None:
    join = Join()
    assert list(join.state_dict()) == []
    assert torch.equal(join(x, 2 * x), 2 * x + x)


def test_gain_stands_before_the_activation(x: Tensor) -> None:
    join, act, y = Join(balanced=True), randomised(RPReLU(FEATURES)), torch.randn_like(x)
    join.gain.fill_(0.25)
    torch.testing.assert_close(join(x, y, act), x + act(0.25 * y))
    torch.testing.assert_close(join.branch(y, act), act(0.25 * y))
    assert list(join.state_dict()) == ["gain"]
    assert list(join.parameters()) == []


def test_rprelu_is_its_equation(x: Tensor) -> None:
    act = randomised(RPReLU(FEATURES))
    gamma, zeta, slope = act.gamma, act.zeta, act.slope.view(1, -1, 1, 1)
    expected = torch.where(x + gamma > 0, x + gamma, slope * (x + gamma)) + zeta
    torch.testing.assert_close(act(x), expected)


def test_rprelu_starts_as_prelu(x: Tensor) -> None:
    torch.testing.assert_close(RPReLU(FEATURES)(x), F.prelu(x, torch.tensor([0.25])))


def test_residual_block(x: Tensor) -> None:
    block = randomised(ResidualBlock(FEATURES, 0.5, False, "relu", False))
    torch.testing.assert_close(block(x), x + 0.5 * block.conv2(torch.relu(block.conv1(x))))


def test_unit(x: Tensor) -> None:
    block = randomised(Unit(FEATURES, 0.5, True, "rprelu", False))
    y = block.shortcut * x + block.act1(0.5 * block.conv1(x))
    torch.testing.assert_close(block(x), y + block.act2(0.5 * block.conv2(y)))


def test_e2fif(x: Tensor) -> None:
    block = randomised(E2fif(FEATURES, 1.0, False, "lrelu", False))

    def normed(norm: RankNorm, z: Tensor) -> Tensor:
        mean, var = z.mean((0, 2, 3), keepdim=True), z.var((0, 2, 3), unbiased=False, keepdim=True)
        return (z - mean) / (var + norm.eps).sqrt() * norm.weight.view(1, -1, 1, 1) + norm.bias.view(1, -1, 1, 1)

    y = F.leaky_relu(x + normed(block.norm1, block.conv1(x)), 0.1)
    torch.testing.assert_close(block(x), y + normed(block.norm2, block.conv2(y)))


@pytest.mark.parametrize("kind", BLOCKS)
def test_every_block_has_the_weights_of_a_plain_one(kind) -> None:
    plain = ResidualBlock(FEATURES, 1.0, False, "relu", False).state_dict()
    own = BLOCKS[kind](FEATURES, 1.0, False, "prelu", True).state_dict()
    assert {name: value.shape for name, value in own.items() if name in plain} == {n: v.shape for n, v in plain.items()}


@pytest.mark.parametrize("kind", ["relu", "prelu", "rprelu", "lrelu"])
def test_activations_scale_with_their_input_at_the_start(kind, x: Tensor) -> None:
    """What balancing relies on: a branch that is scaled before its activation is scaled after it."""
    act = activation(kind, FEATURES)
    torch.testing.assert_close(act(0.1 * x), 0.1 * act(x.clone()))


def test_rank_norm_is_batch_norm_on_one_rank(x: Tensor) -> None:
    ours, theirs = randomised(RankNorm(FEATURES)), nn.BatchNorm2d(FEATURES)
    theirs.load_state_dict({**theirs.state_dict(), **ours.state_dict()})
    for _ in range(2):
        torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_var, theirs.running_var)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


def test_running_statistics_are_the_mean_over_ranks(monkeypatch: pytest.MonkeyPatch, x: Tensor) -> None:
    """Another rank's batch has twice this one's mean and variance."""
    monkeypatch.setattr(units, "mean_over_ranks", lambda statistic: (statistic + 2 * statistic) / 2)
    norm = RankNorm(FEATURES)
    norm(x)
    torch.testing.assert_close(norm.running_mean, 0.1 * 1.5 * x.mean((0, 2, 3)))
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * 1.5 * x.var((0, 2, 3)))
