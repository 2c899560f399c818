"""Which layers the `quant` section reaches, by name, and with which settings."""

from __future__ import annotations

import pytest

from qsr import archs
from qsr.archs.rules import matmul_spec, quant_rules
from qsr.errors import OptionsError
from qsr.options.schema import Options
from qsr.spec import rule_for


def decided(options: Options) -> dict[str, str]:
    """Layer name -> bits, or the reason why it is kept; layers are those of the real network."""
    rules = quant_rules(options)
    names = [name.removesuffix(".weight") for name, p in archs.build(options).named_parameters() if p.dim() in (2, 4)]
    found = {name: rule_for(name, rules) for name in names if not name.endswith("bias_table")}
    assert None not in found.values()
    return {
        name: rule.reason if rule.keeps else f"w{rule.weight.bits if rule.weight else 32}a{rule.act.bits if rule.act else 32}"
        for name, rule in found.items()
    }


def test_edsr(make_options) -> None:
    assert decided(make_options(quant=True)) == {
        "conv_first": "head",
        **{f"body.{n}.conv{m}": "w4a4" for n in (0, 1) for m in (1, 2)},
        "conv_after_body": "w4a4",
        "upsample.0": "tail: upsampler",
        "conv_last": "tail: last convolution",
    }


def test_edsr_with_conv_after_body_kept(make_options) -> None:
    found = decided(make_options(quant={"quantize_after_body": False}))
    assert found["conv_after_body"] == "quant.quantize_after_body is off"
    assert found["body.1.conv2"] == "w4a4"


def test_one_bit_keeps_conv_after_body_unless_told(make_options) -> None:
    one_bit = {"method": "srb", "w_bits": 1, "a_bits": 1}
    assert decided(make_options(quant=one_bit))["conv_after_body"] == "after the body: full precision at one bit"
    told = one_bit | {"rules": [{"match": "conv_after_body", "w_bits": 1}]}
    assert decided(make_options(quant=told))["conv_after_body"] == "w1a1"


@pytest.mark.parametrize("scale", [2, 4])
def test_msr(make_options, scale: int) -> None:
    found = decided(make_options({"type": "MSRResNet", "num_feat": 4, "num_block": 1}, scale=scale, quant=True))
    assert [name for name, value in found.items() if value == "w4a4"] == ["body.0.conv1", "body.0.conv2"]
    assert found["conv_hr"] == "tail: convolution at HR"


def test_swinir(make_options) -> None:
    found = decided(make_options("swinir", quant=True))
    kept = [name for name, value in found.items() if value != "w4a4"]
    assert kept == ["conv_first", "conv_after_body", "upsample.0"]
    assert len(found) - len(kept) == 2 * (2 * 4 + 1)


def test_swinir_classical(make_options) -> None:
    section = {"type": "SwinIR", "depths": [1], "num_heads": [2], "embed_dim": 8, "window_size": 4}
    found = decided(make_options(section | {"upsampler": "pixelshuffle", "resi_connection": "3conv"}, quant=True))
    assert [name for name in found if found[name] == "w4a4" and ".conv" in name] == [f"layers.0.conv.{n}" for n in (0, 2, 4)]
    assert found["conv_last"] == "tail: last convolution"


@pytest.mark.parametrize("network", ["srresnet", "swinir", {"type": "MSRResNet", "num_feat": 4, "num_block": 1}])
def test_every_rule_decides_about_something(make_options, network) -> None:
    options = make_options(network, quant=True)
    assert archs.quantize(archs.build(options), options).unused == ()


def test_skip_and_exceptions_win(make_options) -> None:
    rules = [{"match": "body.1.*", "w_bits": 8}, {"match": "body.1.conv2", "w_bits": 32, "a_bits": 32}]
    found = decided(make_options(quant={"skip": ["body.0.conv1"], "rules": rules}))
    assert found["body.0.conv1"] == "quant.skip"
    assert found["body.0.conv2"] == "w4a4"
    assert found["body.1.conv1"] == "w8a4"
    assert found["body.1.conv2"] == "32 bits asked for"


def test_weight_only(make_options) -> None:
    rule = rule_for("body.0.conv1", quant_rules(make_options(quant={"a_bits": 32})))
    assert rule.act is None
    assert rule.weight.bits == 4


def test_settings_reach_the_specs(make_options) -> None:
    quant = {"k": 1.0, "shift": False, "init": "max", "numel": "batch", "symmetric_narrow": True, "w_granularity": "channel"}
    rule = rule_for("body.0.conv1", quant_rules(make_options(quant=quant)))
    assert dict(rule.weight.params) == {"k": 1.0, "init": "max", "symmetric_narrow": True}
    assert dict(rule.act.params) == {"k": 1.0, "shift": False, "init": "max", "numel": "batch", "symmetric_narrow": True}
    assert (rule.weight.granularity, rule.act.granularity) == ("channel", "tensor")


def test_lsq_gets_only_its_own_settings(make_options) -> None:
    rule = rule_for("body.0.conv1", quant_rules(make_options(quant={"method": "lsq"})))
    assert set(dict(rule.act.params)) == {"init", "numel", "symmetric_narrow"}


def test_without_quant(make_options) -> None:
    assert quant_rules(make_options()) == []


def test_products_have_no_shift(make_options) -> None:
    assert matmul_spec(make_options("swinir", quant=True)) is None
    assert matmul_spec(make_options("swinir", quant={"quant_matmul": True})).param("shift", True) is False
    assert matmul_spec(make_options("swinir", quant={"quant_matmul": True, "a_bits": 32})) is None


def test_one_bit_products_have_quantizers_of_their_own(make_options) -> None:
    quant = {"method": "bireal", "w_bits": 1, "a_bits": 1, "quant_matmul": True}
    spec = matmul_spec(make_options("swinir", quant=quant))
    assert (spec.method, spec.bits) == ("elastic", 1)


def test_unknown_method(make_options) -> None:
    options = make_options(quant=True)
    unknown = options.model_copy(update={"quant": options.quant.model_copy(update={"method": "rql"})})
    with pytest.raises(OptionsError, match="rlq"):
        quant_rules(unknown)
