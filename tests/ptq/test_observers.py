from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qsr.errors import NumericalError, OptionsError
from qsr.ptq.observers import Seen, observe, search_bounds, search_step, set_step
from qsr.quant import calibrate, create, quantizers
from qsr.spec import QuantSpec


def seen(values: torch.Tensor) -> Seen:
    rows = values.reshape(1, -1)
    return Seen(rows, rows.amin(1), rows.amax(1))


def act(method: str = "lsq", bits: int = 4):
    return create(QuantSpec(method, bits), "act", 4, 1)


def mse(quantizer, values: torch.Tensor) -> float:
    return float((quantizer.eval()(values) - values).square().mean())


def test_statistics_are_those_of_full_precision(quantized) -> None:
    network, _ = quantized(2, 2)
    inputs: dict[str, torch.Tensor] = {}
    x = torch.rand(2, 3, 8, 8)
    found = observe(network, [x[:1], x[1:]])
    from qsr.ptq.modes import full_precision

    layer = network.body[1].conv1
    hook = layer.register_forward_pre_hook(lambda module, given: inputs.update(x=given[0]))
    with full_precision(network), torch.no_grad():
        network(x)
    hook.remove()
    assert list(found) == [name for name, _ in quantizers(network)]
    seen_there = found["body.1.conv1.act_quant"]
    assert seen_there.low == pytest.approx(float(inputs["x"].min()))
    assert seen_there.high == pytest.approx(float(inputs["x"].max()))
    assert sorted(seen_there.values[0].tolist()) == pytest.approx(sorted(inputs["x"].flatten().tolist()), abs=1e-6)
    weights = found["body.1.conv1.weight_quant"]
    assert torch.equal(weights.values, layer.weight.reshape(6, -1))


def test_linear_layers_keep_one_row_per_output_channel(quantized) -> None:
    section = {"type": "SwinIR", "depths": [2], "num_heads": [2], "embed_dim": 8}
    network, _ = quantized(4, 4, section)
    found = observe(network, [torch.rand(1, 3, 8, 8)])
    layer = network.layers[0].residual_group.blocks[0].attn.qkv
    assert torch.equal(found["layers.0.residual_group.blocks.0.attn.qkv.weight_quant"].values, layer.weight)


def test_minmax_holds_everything() -> None:
    for values, signed in ((torch.linspace(-1.6, 0.7, 50), True), (torch.linspace(0, 3.0, 50), False)):
        quantizer = act()
        set_step(quantizer, seen(values), "minmax")
        assert bool(quantizer.signed) is signed
        assert float((quantizer.eval()(values) - values).abs().max()) <= float(quantizer.step.detach()) / 2 + 1e-6
    assert float(quantizer.step) == pytest.approx(3.0 / 15)


def test_percentile_leaves_outliers_out() -> None:
    values = torch.cat((torch.linspace(0, 1, 999), torch.tensor([1000.0])))
    quantizer = act()
    set_step(quantizer, seen(values), "percentile", 99.0)
    assert float(quantizer.step) == pytest.approx(0.99 / 15, rel=1e-2)


def test_mse_is_the_best_of_all_fractions() -> None:
    values = torch.randn(4000, generator=torch.Generator().manual_seed(0))
    quantizer = act(bits=3)
    set_step(quantizer, seen(values), "mse")
    least = mse(quantizer, values)
    widest = float(quantizer.step.detach())
    for factor in (0.7, 0.85, 1.2, 1.5):
        quantizer.step.data.fill_(widest * factor)
        assert mse(quantizer, values) > least
    # Max (1960): the uniform quantizer of 8 levels for a unit Gaussian has step 0.586; ours must have a level at 0
    assert widest == pytest.approx(0.586, abs=0.08)


def test_each_channel_of_a_weight_has_its_own_step() -> None:
    quantizer = create(QuantSpec("lsq", 4, "channel"), "weight", 3, 0)
    weight = torch.randn(3, 2, 3, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 10.0, 0.0]).view(
        3, 1, 1, 1
    )
    rows = weight.reshape(3, -1)
    set_step(quantizer, Seen(rows, rows.amin(1), rows.amax(1)), "mse")
    assert float(quantizer.step[1] / quantizer.step[0]) > 5
    assert float(quantizer.step[2]) == 1.0
    assert torch.equal(quantizer(weight)[2], torch.zeros(2, 3, 3))


@given(st.floats(-3, 3), st.floats(0.1, 5), st.integers(2, 8))
def test_an_offset_holds_both_bounds(low: float, length: float, bits: int) -> None:
    values = torch.linspace(low, low + length, 200)
    quantizer = act("lsq_plus", bits)
    set_step(quantizer, seen(values), "minmax")
    assert float((quantizer.eval()(values) - values).abs().max()) <= float(quantizer.step.detach()) / 2 + 1e-4


def test_both_bounds_are_searched() -> None:
    values = torch.cat((torch.linspace(-0.2, 1.0, 50000), torch.tensor([-5.0, 9.0])))
    low, high = search_bounds(values[None], torch.tensor([-5.0]), torch.tensor([9.0]), 15)
    assert -1.0 < float(low) < 0.1
    assert 0.8 < float(high) < 2.0
    ours, plain = act("lsq_plus"), act("lsq")
    set_step(ours, seen(values), "mse")
    set_step(plain, seen(values), "mse")
    assert mse(ours, values) < mse(plain, values)


def test_the_search_never_leaves_a_row_without_a_step() -> None:
    steps = search_step(torch.zeros(2, 5), torch.tensor([1.0, 0.5]), -8, 7)
    assert torch.isfinite(steps).all()
    assert (steps > 0).all()


def test_methods_without_steps_are_refused(quantized) -> None:
    network, _ = quantized(1, 1, method="bnn")
    with pytest.raises(OptionsError, match="bnn has none"):
        observe(network, [torch.rand(1, 3, 8, 8)])


def test_nan_in_the_network_is_named(quantized) -> None:
    network, _ = quantized()
    network.conv_first.weight.data[0, 0, 0, 0] = float("nan")
    with pytest.raises(NumericalError, match="body.0.conv1"):
        observe(network, [torch.rand(1, 3, 8, 8)])


def test_initialised_quantizers_run_and_are_not_calibrated_again(quantized) -> None:
    network, _ = quantized()
    x = torch.rand(1, 3, 8, 8)
    for name, found in observe(network, [x]).items():
        set_step(dict(quantizers(network))[name], found, "mse")
    before = {name: float(q.step.detach().mean()) for name, q in quantizers(network)}
    calibrate(network, [10 * x])
    assert {name: float(q.step.detach().mean()) for name, q in quantizers(network)} == before
    network(x)
