"""First weights: exact copies, the deepening rule, and what does not fit."""

from __future__ import annotations

import pytest
import torch

from qsr import archs
from qsr.archs import depth
from qsr.archs.start import count_blocks, deepen, start_from
from qsr.errors import FormatError


@pytest.mark.parametrize(
    ("network", "stack", "last"), [("srresnet", "body", "conv2"), ("swinir", "layers", "conv")], ids=["srresnet", "swinir"]
)
def test_deepening_rule(make_options, network: str, stack: str, last: str) -> None:
    options = make_options(network, quant=True, depths=(4, 2, 1))
    base, deep = archs.build_base(options), archs.build(options)
    start_from(deep, base)
    old, new = base.state_dict(), deep.state_dict()
    for name, value in new.items():
        parts = name.split(".")
        if name.endswith(("shortcut", "order")):
            continue
        if parts[0] != stack:
            assert torch.equal(value, old[name])
            continue
        source = old[".".join([stack, str(int(parts[1]) % 2), *parts[2:]])]
        factor = 0.1 if int(parts[1]) >= 2 and parts[2] == last else 1.0
        torch.testing.assert_close(value, source * factor)
    assert all(block.shortcut.item() == 1 for block in getattr(deep, stack))


def test_3conv_block_ends_with_its_third_convolution(make_options) -> None:
    section = {"type": "SwinIR", "depths": [1], "num_heads": [2], "embed_dim": 8, "window_size": 4, "resi_connection": "3conv"}
    state = archs.build(make_options(section)).state_dict()
    deeper = deepen(state, 2)
    torch.testing.assert_close(deeper["layers.1.conv.4.weight"], state["layers.0.conv.4.weight"] * 0.1)
    assert torch.equal(deeper["layers.1.conv.0.weight"], state["layers.0.conv.0.weight"])


def test_same_depth_is_a_copy_also_into_a_quantized_network(make_options) -> None:
    options = make_options(quant=True)
    base, network = archs.build_base(options), archs.build(options)
    archs.quantize(network, options)
    start_from(network, base)
    assert torch.equal(network.body[1].conv2.weight, base.body[1].conv2.weight)


def test_quantized_start_brings_its_quantizers_and_order(make_options) -> None:
    options = make_options(quant=True, depths=(4, 2))
    first, second = archs.build(options), archs.build(options)
    for network in (first, second):
        archs.quantize(network, options)
    with torch.no_grad():
        first.body[0].conv1.weight_quant.step.fill_(0.125)
        first.body[0].shortcut.fill_(2.0)
    depth.freeze_order(first)
    start_from(second, first)
    assert second.body[0].conv1.weight_quant.step.item() == 0.125
    assert second.body.order.tolist() == first.body.order.tolist() == [1, 2, 3, 0]


def test_order_of_another_depth_is_not_taken(make_options) -> None:
    small, large = (archs.build(make_options(depths=depths)) for depths in ((2, 1), (4, 2)))
    depth.freeze_order(small)
    start_from(large, small)
    assert not depth.order_frozen(large)


@pytest.mark.parametrize(
    "section",
    [
        {"type": "MSRResNet", "num_feat": 4, "num_block": 2, "block": "unit", "input_gain": 130},
        {"type": "MSRResNet", "num_feat": 4, "num_block": 2, "block": "e2fif"},
        {"type": "SwinIR", "depths": [2], "num_heads": [2], "embed_dim": 8, "window_size": 4, "linear_skip": True},
        {"type": "Mixer", "num_feat": 4, "num_block": 2, "block": "unit"},
    ],
    ids=["unit", "e2fif", "swinir", "mixer"],
)
def test_one_bit_network_starts_from_its_plain_base(make_options, section) -> None:
    quant = {"method": "srb", "w_bits": 1, "a_bits": 1, "start": "balanced", "quant_matmul": section["type"] == "SwinIR"}
    options = make_options(section, quant=quant)
    base, network = archs.build_base(options), archs.build(options)
    archs.quantize(network, options)
    fresh = {name: value.clone() for name, value in network.state_dict().items()}
    start_from(network, base)
    taken = base.state_dict()
    for name, value in network.state_dict().items():
        assert torch.equal(value, taken.get(name, fresh[name])), name
    assert set(taken) < set(fresh)


def test_what_a_base_has_learned_beyond_the_network_is_refused(make_options) -> None:
    section = {"type": "MSRResNet", "num_feat": 4, "num_block": 1}
    unit = archs.build(make_options(section | {"block": "unit"}))
    with pytest.raises(FormatError, match=r"unexpected \(body\.0\.act1\.gamma"):
        start_from(archs.build(make_options(section)), unit)


def test_missing_and_unexpected_names_are_listed(make_options) -> None:
    network = archs.build(make_options())
    state = archs.build(make_options()).state_dict()
    del state["conv_last.weight"]
    state["conv_next.weight"] = torch.zeros(1)
    with pytest.raises(FormatError, match=r"a\.pth: .*1 missing \(conv_last\.weight\); 1 unexpected \(conv_next\.weight\)"):
        start_from(network, state, where="a.pth")


def test_not_strict_takes_what_fits(make_options) -> None:
    network, other = archs.build(make_options()), archs.build(make_options())
    state = other.state_dict()
    del state["conv_last.weight"]
    kept = network.conv_last.weight.clone()
    start_from(network, state, strict=False)
    assert torch.equal(network.conv_first.weight, other.conv_first.weight)
    assert torch.equal(network.conv_last.weight, kept)


@pytest.mark.parametrize("strict", [True, False])
def test_shapes_must_agree(make_options, strict: bool) -> None:
    network = archs.build(make_options())
    state = archs.build(make_options({"type": "SRResNet", "num_feat": 8, "num_block": 2})).state_dict()
    untouched = network.conv_last.bias.clone()
    with pytest.raises(FormatError, match=r"conv_first.weight: \(8, 3, 3, 3\) instead of \(4, 3, 3, 3\)"):
        start_from(network, state, strict=strict)
    assert torch.equal(network.conv_last.bias, untouched)


def test_a_fixed_network_is_not_deepened(make_options) -> None:
    deep = archs.build(make_options({"type": "SRResNet", "num_feat": 4, "num_block": 4}))
    with pytest.raises(FormatError, match="missing"):
        start_from(deep, archs.build(make_options()))


def test_count_blocks() -> None:
    nothing = torch.zeros(0)
    assert count_blocks({"body.0.conv1.weight": nothing, "body.11.conv1.weight": nothing, "conv_last.weight": nothing}) == 2
