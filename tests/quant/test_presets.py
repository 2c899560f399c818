"""The short public spelling of rules."""

from __future__ import annotations

import pytest

import qsr
from qsr.errors import OptionsError
from qsr.quant.base import create
from qsr.spec import rule_for


def test_presets_carry_their_settings() -> None:
    preset = qsr.RLQ(w_bits=2, a_bits=4, k=1.0, granularity="channel", init="max")
    assert (preset.weight.method, preset.weight.bits, preset.weight.granularity) == ("rlq", 2, "channel")
    assert (preset.act.bits, preset.act.granularity) == (4, "tensor")
    assert (preset.weight.param("k", 0), preset.act.param("shift", None), preset.act.param("init", "")) == (1.0, True, "max")


@pytest.mark.parametrize("preset", [qsr.RLQ(2, 8), qsr.LSQ(8, 2, numel="batch", symmetric_narrow=True)])
def test_presets_are_accepted_by_their_method(preset: qsr.quant.Preset) -> None:
    assert create(preset.weight, "weight", 3, 0).spec == preset.weight
    assert create(preset.act, "act", 3, 1).spec == preset.act


def test_32_bits_is_full_precision() -> None:
    assert qsr.LSQ(32, 4).weight is None
    assert qsr.RLQ(4, 32).act is None


@pytest.mark.parametrize("bits", [0, 1, 9, 16])
def test_other_bits_are_refused(bits: int) -> None:
    with pytest.raises(OptionsError, match=f"found {bits} bits, expected 2 to 8, or 32"):
        qsr.RLQ(bits, 4)


def test_rules_go_from_default_over_keep_to_overrides() -> None:
    rules = qsr.rules(
        default=qsr.RLQ(2, 2), keep=["tail", "head"], overrides={"body.0.*": qsr.LSQ(4, 4), "tail.1": qsr.LSQ(8, 8)}
    )
    decided = {name: rule_for(name, rules) for name in ("body.5.conv1", "body.0.conv1", "head", "tail.0", "tail.1", "tailor")}
    assert {name: None if rule.keeps else (rule.weight.method, rule.weight.bits) for name, rule in decided.items()} == {
        "body.5.conv1": ("rlq", 2),
        "body.0.conv1": ("lsq", 4),
        "head": None,
        "tail.0": None,
        "tail.1": ("lsq", 8),
        "tailor": ("rlq", 2),
    }
    assert decided["head"].reason == "kept by request"
