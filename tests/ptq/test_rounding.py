from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from qsr.errors import OptionsError
from qsr.ptq import rounding
from qsr.ptq.modes import full_precision, layers
from qsr.ptq.observers import observe, set_step
from qsr.ptq.rounding import SoftRounding, learn_rounding, units
from qsr.quant import QConv2d, quantizers
from qsr.spec import QuantSpec

SWINIR = {"type": "SwinIR", "depths": [2, 2], "num_heads": [2, 2], "embed_dim": 8}


def prepared(network: nn.Module, batches: list[torch.Tensor]) -> None:
    named = dict(quantizers(network))
    for name, seen in observe(network, batches).items():
        set_step(named[name], seen, "mse")


def batches(count: int = 3) -> list[torch.Tensor]:
    return list(torch.rand(count, 4, 3, 8, 8, generator=torch.Generator().manual_seed(1)))


def soft() -> tuple[QConv2d, SoftRounding]:
    torch.manual_seed(0)
    layer = QConv2d.from_float(nn.Conv2d(4, 3, 3), QuantSpec("lsq", 4, "channel"), None).eval()
    rows = layer.weight.detach().reshape(3, -1)
    layer.weight_quant.step.data = rows.abs().amax(1) / 5
    layer.weight_quant.initialised.fill_(True)
    return layer, SoftRounding(layer, layer.weight_quant)


def test_it_begins_with_the_weights_themselves() -> None:
    layer, made = soft()
    torch.testing.assert_close(made(layer.weight), layer.weight)


def test_it_begins_with_nearest_rounding_and_ends_at_a_neighbour() -> None:
    layer, made = soft()
    torch.testing.assert_close(made.hard(), layer.weight_quant(layer.weight))
    made.v.data = torch.randn(made.v.shape)
    steps = (made.hard() - layer.weight).abs() / made.step
    assert float(steps.max()) <= 1 + 1e-5
    assert float(steps.max()) > 0.5


def test_the_ordinary_quantizer_gives_the_level_chosen() -> None:
    layer, made = soft()
    made.v.data = torch.randn(made.v.shape)
    layer.weight.data = made.hard()
    torch.testing.assert_close(layer.weight_quant(layer.weight), made.hard())


@pytest.mark.parametrize("section", [None, SWINIR])
def test_outputs_come_closer_and_nothing_else_changes(quantized, section: dict | None) -> None:
    network, _ = quantized(3, 8, **({"section": section} if section else {}))
    given = batches()
    prepared(network, given)
    with full_precision(network), torch.no_grad():
        target = network(given[0])
    before = copy.deepcopy(network.state_dict())
    with torch.no_grad():
        first = float((network(given[0]) - target).square().mean())
    told: dict[str, tuple[float, float]] = {}
    learn_rounding(network, given, 60, notify=lambda name, *errors: told.update({name: errors}))
    with torch.no_grad():
        last = float((network(given[0]) - target).square().mean())
    assert any(after < before for before, after in told.values())
    assert last < first
    assert list(told) == [name for name, _ in units(network)]
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    quantized_names = tuple(layers(network))
    assert changed <= {f"{name}.{leaf}" for name in quantized_names for leaf in ("weight", "act_quant.step")}
    assert all(isinstance(q, type(network.get_submodule(quantized_names[0]).act_quant)) for _, q in quantizers(network))


def test_units_are_blocks_then_what_is_left(quantized) -> None:
    network, _ = quantized()
    assert [name for name, _ in units(network)] == ["body.0", "body.1", "conv_after_body"]


def test_a_block_that_gains_nothing_keeps_its_weights(quantized) -> None:
    network, _ = quantized(3, 8)
    given = batches()
    prepared(network, given)
    before = copy.deepcopy(network.state_dict())
    learn_rounding(network, [given[0], torch.zeros_like(given[0])], 0)  # no iteration: nearest rounding, as it was
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, before[name])
    with pytest.raises(OptionsError, match="two batches"):
        learn_rounding(network, given[:1], 1)


def test_every_block_aims_at_the_full_precision_network(quantized, monkeypatch: pytest.MonkeyPatch) -> None:
    network, _ = quantized(3, 8)
    given = batches()
    prepared(network, given)
    expected: dict[str, torch.Tensor] = {}
    with full_precision(network), torch.no_grad():
        for name, block in units(network):
            hook = block.register_forward_hook(lambda module, x, y, name=name: expected.update({name: y}))
            network(torch.cat(given[:-1]))
            hook.remove()
    aims: list[torch.Tensor] = []

    def learn(block, arguments, target, iterations, generator) -> None:
        aims.append(target)
        for parameter in block.parameters():
            parameter.data.mul_(1.5)

    monkeypatch.setattr(rounding, "_learn_block", learn)
    monkeypatch.setattr(rounding, "_error", lambda *_: next(errors))
    errors = iter(range(10, 0, -1))  # every block is accepted
    learn_rounding(network, given, 1)
    for aim, target in zip(aims, expected.values(), strict=True):
        torch.testing.assert_close(aim, target)
