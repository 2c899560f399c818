"""Parameter groups, and an optimiser whose state survives a restart bit for bit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import qsr
from qsr.options.schema import Optim
from qsr.spec import QuantRule, QuantSpec
from qsr.train import optim


def quantized_network() -> nn.Module:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 3))
    spec = QuantSpec("rlq", 4)
    qsr.quantize_(network, [QuantRule("2", spec, spec)])
    network(torch.rand(2, 3, 8, 8))
    return network.to(memory_format=torch.channels_last)


def step(network: nn.Module, optimiser: torch.optim.Optimizer, seed: int) -> None:
    torch.manual_seed(seed)
    optimiser.zero_grad()
    network(torch.rand(2, 3, 8, 8)).square().mean().backward()
    optimiser.step()


def test_each_kind_has_its_rate_and_only_weights_decay() -> None:
    optimiser = optim.build(quantized_network(), Optim(type="AdamW", lr=1e-3, weight_decay=0.1, step_lr=1e-4))
    groups = {group["name"]: group for group in optimiser.param_groups}
    assert {name: group["lr"] for name, group in groups.items()} == {"weights": 1e-3, "step": 1e-4, "shift": 1e-3}
    assert {name: group["weight_decay"] for name, group in groups.items()} == {"weights": 0.1, "step": 0, "shift": 0}


def test_set_lr_scales_every_group() -> None:
    optimiser = optim.build(quantized_network(), Optim(lr=1e-3, step_lr=1e-4), lr=2e-3)
    assert optim.set_lr(optimiser, lambda t, base: base / (t + 1), 3) == pytest.approx(5e-4)
    assert [group["lr"] for group in optimiser.param_groups] == pytest.approx([5e-4, 2.5e-5, 5e-4])


@pytest.mark.parametrize("kind", ["Adam", "AdamW"])
def test_a_restored_optimiser_takes_the_same_steps(kind: str) -> None:
    network = quantized_network()
    optimiser = optim.build(network, Optim(type=kind))
    for seed in range(3):
        step(network, optimiser, seed)
    saved = {name: value.contiguous().clone() for name, value in optim.state(optimiser).items()}
    assert "2.act_quant.step|exp_avg" in saved

    twin = quantized_network()
    twin.load_state_dict(network.state_dict())
    restored = optim.build(twin, Optim(type=kind))
    optim.load(restored, saved)
    for seed in range(3, 6):
        step(network, optimiser, seed)
        step(twin, restored, seed)
    for (name, one), other in zip(network.named_parameters(), twin.parameters(), strict=True):
        assert torch.equal(one, other), name


def test_rates_counted_in_steps_survive_a_restart_although_the_step_has_moved() -> None:
    network = quantized_network()
    options = Optim(lr=1e-3, step_lr=2e-3, lr_unit="step")
    optimiser = optim.build(network, options)
    rates = {group["names"][0]: group["base_lr"] for group in optimiser.param_groups}
    first = float(network[2].act_quant.step)
    assert rates["2.act_quant.step"] == pytest.approx(2e-3 * first)
    assert rates["2.act_quant.shift"] == pytest.approx(1e-3 * first)
    with torch.no_grad():
        network[2].act_quant.step.mul_(3)
    again = optim.build(network, options)
    assert again.param_groups[-1]["base_lr"] != optimiser.param_groups[-1]["base_lr"]
    optim.load(again, optim.state(optimiser))
    assert {group["names"][0]: group["base_lr"] for group in again.param_groups} == rates
