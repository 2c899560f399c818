"""From options to networks: every section, bases of supernets, quantization in place."""

from __future__ import annotations

import pytest
import torch

from qsr import archs
from qsr.archs import depth
from qsr.archs.srresnet import EdsrLayout, MsrLayout
from qsr.errors import OptionsError
from qsr.quant import calibrate, quantizers


@pytest.mark.parametrize(
    ("section", "layout"),
    [
        ({"type": "SRResNet"}, EdsrLayout),
        ({"type": "SRResNet", "layout": "msr"}, MsrLayout),
        ({"type": "EDSR"}, EdsrLayout),
        ({"type": "MSRResNet"}, MsrLayout),
    ],
)
def test_layout_follows_from_type(make_options, section, layout) -> None:
    network = archs.build(make_options(section | {"num_feat": 4, "num_block": 1}, scale=3))
    assert type(network) is layout
    assert (network.scale, network.window) == (3, 1)


def test_swinir_attributes(make_options) -> None:
    network = archs.build(make_options("swinir"))
    assert (network.scale, network.window, network.receptive_field) == (2, 4, None)


def test_supernet_depth_follows_from_dqa(make_options) -> None:
    assert len(archs.build(make_options(depths=(6, 3))).body) == 6
    assert len(archs.build(make_options("swinir", depths=(5, 2))).layers) == 5


def test_swinir_supernet_repeats_its_rstbs(make_options) -> None:
    section = {"type": "SwinIR", "depths": [3, 3], "num_heads": [4, 4], "embed_dim": 8, "window_size": 4}
    layers = archs.build(make_options(section, depths=(5, 2))).layers
    assert [len(layer.residual_group.blocks) for layer in layers] == [3] * 5
    assert [layer.residual_group.blocks[0].attn.heads for layer in layers] == [4] * 5


@pytest.mark.parametrize(("network", "stack"), [("srresnet", "body"), ("swinir", "layers")])
def test_base_is_the_second_depth(make_options, network: str, stack: str) -> None:
    options = make_options(network, quant=True, depths=(4, 3, 1))
    base = archs.build_base(options)
    assert len(getattr(base, stack)) == 3
    assert depth.depths(base) == ()
    assert archs.base_options(options).quant is None


def test_base_without_dqa_is_the_network(make_options) -> None:
    assert len(archs.build_base(make_options(quant=True)).body) == 2


@pytest.mark.parametrize("network", ["srresnet", "swinir"])
def test_quantized_network_keeps_names_and_depths(make_options, network: str) -> None:
    options = make_options(network, quant=True, depths=(4, 2))
    built = archs.build(options)
    names = set(built.state_dict())
    report = archs.quantize(built, options)
    assert names <= set(built.state_dict())
    assert len(report.quantized) * 2 == len(list(quantizers(built)))
    calibrate(built, [torch.rand(1, 3, 8, 8)])
    depth.freeze_order(built)
    for n in (4, 2):
        depth.set_depth(built, n)
        assert built(torch.rand(1, 3, 5, 7)).shape == (1, 3, 10, 14)


def test_relu_inputs_are_unsigned_residual_ones_signed(make_options) -> None:
    options = make_options(quant=True)
    network = archs.build(options)
    archs.quantize(network, options)
    calibrate(network, [torch.rand(2, 3, 8, 8)])
    assert [bool(block.conv1.act_quant.signed) for block in network.body] == [True, True]
    assert [bool(block.conv2.act_quant.signed) for block in network.body] == [False, False]


def test_quantized_products(make_options) -> None:
    options = make_options("swinir", quant={"quant_matmul": True})
    network = archs.build(options)
    report = archs.quantize(network, options)
    calibrate(network, [torch.rand(2, 3, 8, 8)])
    attention = network.layers[0].residual_group.blocks[1].attn
    assert [bool(getattr(attention, f"{x}_quant").signed) for x in ("q", "k", "v", "attn")] == [True, True, True, False]
    rows = [row for row in report.rows if row.kind == "WindowAttention"]
    assert len(rows) == 4
    assert all(row.a_bits == 4 and "attention map" in row.act_at for row in rows)


def test_no_quant_reports_all_layers_kept(make_options) -> None:
    options = make_options()
    report = archs.quantize(archs.build(options), options)
    assert report.quantized == ()
    assert len(report.kept) == 2 * 2 + 4


def test_scale_must_agree(make_options) -> None:
    options = make_options()
    wrong = options.model_copy(update={"network_g": options.network_g.model_copy(update={"upscale": 3})})
    with pytest.raises(OptionsError, match=r"network_g\.upscale: found 3, expected scale: 2"):
        archs.build(wrong)


def test_foreign_networks_have_no_depths(make_options) -> None:
    options = make_options(depths=(4, 2))
    foreign = make_options({"type": "basicsr:RCAN", "num_in_ch": 3, "num_out_ch": 3})
    with pytest.raises(OptionsError, match="residual blocks that qsr knows"):
        archs.build(foreign.model_copy(update={"depth": options.depth}))


@pytest.mark.parametrize("network", ["srresnet", "swinir"])
def test_all_depths_train_in_one_step(make_options, network: str) -> None:
    """Three forwards, one backward; every parameter learns, and the full depth's share equals its own gradient."""
    options = make_options(network, quant=True, depths=(4, 2, 1))
    built = archs.build(options)
    archs.quantize(built, options)
    x, target = torch.rand(1, 3, 8, 8), torch.rand(1, 3, 16, 16)
    calibrate(built, [x])
    depth.freeze_order(built)

    def gradients(*blocks: int) -> list[torch.Tensor]:
        built.zero_grad()
        losses = []
        for n in blocks:
            depth.set_depth(built, n)
            losses.append((built(x) - target).abs().mean())
        sum(losses).backward()
        return [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in built.parameters()]

    parts = [gradients(n) for n in (4, 2, 1)]
    for joint, *single in zip(gradients(4, 2, 1), *parts, strict=True):
        torch.testing.assert_close(joint, sum(single), rtol=1e-4, atol=1e-6)
    assert all(
        gradient.any() for (name, _), gradient in zip(built.named_parameters(), parts[0], strict=True) if "shortcut" in name
    )


def test_base_is_plain(make_options) -> None:
    section = {"type": "MSRResNet", "num_feat": 4, "num_block": 1, "block": "unit", "activation": "prelu", "input_gain": 130}
    base = archs.base_options(make_options(section, quant=True)).network_g
    assert (base.block, base.activation, base.input_gain) == ("residual", None, 1.0)
    kept = archs.base_options(make_options(section | {"block": "residual"}, quant=True)).network_g
    assert kept.activation == "prelu"
    assert not archs.base_options(make_options({"type": "SwinIR", "linear_skip": True})).network_g.linear_skip


@pytest.mark.parametrize("network", [{"type": "MSRResNet", "num_feat": 4, "num_block": 1}, "swinir"])
def test_gains_exist_where_the_start_is_balanced(make_options, network) -> None:
    one_bit = {"method": "srb", "w_bits": 1, "a_bits": 1}
    for start, wanted in (("balanced", True), ("as_is", False)):
        built = archs.build(make_options(network, quant=one_bit | {"start": start}))
        assert any(name.endswith("gain") for name, _ in built.named_buffers()) is wanted


@pytest.mark.parametrize("method", ["srb", "bnn", "xnor", "reactnet", "irnet"])
def test_one_bit_products(make_options, method: str) -> None:
    """Every one-bit method quantizes SwinIR, inputs of linear layers and products of attention included."""
    quant = {"method": method, "w_bits": 1, "a_bits": 1, "quant_matmul": True}
    options = make_options("swinir", quant=quant)
    network = archs.build(options)
    report = archs.quantize(network, options)
    attention = network.layers[0].residual_group.blocks[0].attn
    assert [type(getattr(attention, f"{name}_quant")).__name__ for name in ("q", "k", "v", "attn")] == ["Operand"] * 3 + [
        "ElasticMap"
    ]
    assert {(row.a_method, row.a_bits) for row in report.rows if row.kind == "WindowAttention"} == {("elastic", 1)}
    calibrate(network, [torch.rand(1, 3, 8, 8)])
    network.train()(torch.rand(2, 3, 8, 8)).mean().backward()
    assert attention.q_quant.shift.grad.abs().sum() > 0
    assert attention.attn_quant.step.grad.shape == (1, 2, 1, 1)
    assert torch.isfinite(network.eval()(torch.rand(1, 3, 9, 6))).all()
