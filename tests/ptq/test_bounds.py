from __future__ import annotations

import pytest
import torch

from qsr.errors import NumericalError
from qsr.ptq.bounds import BlockFeatures, bounds_of, distill_bounds, distillation_loss, frozen
from qsr.ptq.modes import full_precision
from qsr.ptq.observers import observe, set_step
from qsr.quant import quantizers


def prepared(network: torch.nn.Module, x: torch.Tensor, method: str = "mse") -> None:
    named = dict(quantizers(network))
    for name, seen in observe(network, [x]).items():
        set_step(named[name], seen, method)


def inputs(count: int = 8) -> torch.Tensor:
    return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("method", ["lsq", "lsq_plus", "rlq"])
def test_bounds_learn_and_weights_do_not(quantized, method: str) -> None:
    network, _ = quantized(3, 3, method=method)
    x = inputs()
    prepared(network, x, "minmax")
    before = {name: value.clone() for name, value in network.named_parameters()}
    first, last = distill_bounds(network, x, 20, batch=4, step_rate=0.05)
    assert last < 0.9 * first
    changed = {name for name, value in network.named_parameters() if not torch.equal(value, before[name])}
    assert changed
    assert {name.rpartition(".")[2] for name in changed} <= {"step", "shift"}
    assert any("weight_quant" in name for name in changed)
    assert any("act_quant" in name for name in changed)
    assert all(value.requires_grad and value.grad is None for value in network.parameters())


def test_nothing_changes_where_nothing_is_gained(quantized) -> None:
    network, _ = quantized(4, 4)
    x = inputs()
    prepared(network, x)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    first, last = distill_bounds(network, x, 3, batch=4, step_rate=5.0)
    assert first == last
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_the_same_seed_gives_the_same_bounds(quantized) -> None:
    found = []
    for seed in (0, 0, 1):
        network, _ = quantized(3, 3)
        prepared(network, inputs(), "minmax")
        distill_bounds(network, inputs(), 15, batch=4, step_rate=0.05, seed=seed)
        found.append(network.body[0].conv1.act_quant.step.item())
    assert found[0] == found[1] != found[2]


def test_the_loss_is_the_documented_one(quantized) -> None:
    network, _ = quantized(3, 3)
    x = inputs(2)
    prepared(network, x)
    with torch.no_grad(), BlockFeatures(network) as features:
        loss = float(distillation_loss(network, x, features, 0.5))
        output, ours = network(x), features.take()
        with full_precision(network):
            target, theirs = network(x), features.take()
    expected = float((output - target).abs().mean())
    for one, other in zip(ours, theirs):
        for a, b in zip(one, other):
            expected += 0.5 * float((a / a.norm() - b / b.norm()).square().sum()) / (len(x) * len(ours))
    assert loss == pytest.approx(expected, rel=1e-5)
    assert len(ours) == 2


def test_rates_count_in_steps(quantized) -> None:
    network, _ = quantized(4, 4, method="lsq_plus")
    prepared(network, inputs())
    quantizer = network.body[1].conv2.act_quant
    rates = bounds_of(network, 0.1)
    assert rates[quantizer.step] == rates[quantizer.shift] == pytest.approx(0.1 * quantizer.step.item())


def test_features_leave_no_hooks(quantized) -> None:
    network, _ = quantized()
    with BlockFeatures(network):
        assert network.body[0]._forward_hooks
    assert not network.body[0]._forward_hooks


def test_frozen_gives_gradients_back(quantized) -> None:
    network, _ = quantized()
    network.conv_first.bias.requires_grad_(False)
    with frozen(network, [network.conv_last.bias]):
        assert [value.requires_grad for value in network.parameters()].count(True) == 1
    assert not network.conv_first.bias.requires_grad
    assert network.conv_last.weight.requires_grad


def test_nan_stops_it(quantized) -> None:
    network, _ = quantized()
    prepared(network, inputs())
    with pytest.raises(NumericalError, match="iteration 0"):
        distill_bounds(network, torch.full((8, 3, 8, 8), float("nan")), 2)
