from __future__ import annotations

import dataclasses
import importlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qsr.errors import FormatError
from qsr.spec import METHODS, QuantRule, QuantSpec, rule_for

scalars = st.one_of(st.text(max_size=5), st.integers(-9, 9), st.booleans(), st.floats(allow_nan=False, allow_infinity=False))
specs = st.builds(
    QuantSpec,
    st.sampled_from(["rlq", "lsq"]),
    st.integers(1, 8),
    st.sampled_from(["tensor", "channel"]),
    st.dictionaries(st.text(min_size=1, max_size=5), scalars, max_size=4).map(lambda params: tuple(params.items())),
)
rules = st.builds(QuantRule, st.text(max_size=8), st.none() | specs, st.none() | specs, st.text(max_size=8))


@given(specs)
def test_a_spec_survives_json(spec: QuantSpec) -> None:
    assert QuantSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


@given(rules)
def test_a_rule_survives_json(rule: QuantRule) -> None:
    assert QuantRule.from_json(json.loads(json.dumps(rule.to_json()))) == rule


def test_the_order_of_settings_does_not_matter() -> None:
    one, other = QuantSpec("rlq", 2, params=(("k", 2.0), ("a", 1))), QuantSpec("rlq", 2, params=(("a", 1), ("k", 2.0)))
    assert one == other
    assert hash(one) == hash(other)
    assert one.param("k", 0) == 2.0
    assert one.param("missing", "default") == "default"


def test_specs_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        QuantSpec("rlq", 2).bits = 4  # type: ignore[misc]


@pytest.mark.parametrize("bits", [0, 9, 32])
def test_bits_outside_one_to_eight_are_refused(bits: int) -> None:
    with pytest.raises(ValueError, match=f"bits: found {bits}, expected 1 to 8"):
        QuantSpec("rlq", bits)


def test_unknown_granularity_is_refused() -> None:
    with pytest.raises(ValueError, match="granularity: found 'row'"):
        QuantSpec("rlq", 2, "row")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "quantizer spec of version 2, this qsr reads 1"),
        ({"bits": 9}, "not a quantizer spec"),
        ({"params": [1]}, "not a quantizer spec"),
        ({"granularity": None}, "not a quantizer spec"),
    ],
)
def test_damaged_specs_are_refused(change: dict, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        QuantSpec.from_json(QuantSpec("rlq", 2).to_json() | change)


def test_a_spec_without_a_key_is_refused() -> None:
    with pytest.raises(FormatError, match="not a quantizer spec"):
        QuantSpec.from_json({"version": 1, "method": "rlq"})


def test_the_last_rule_that_matches_wins() -> None:
    low, keep, high = QuantRule("*", QuantSpec("rlq", 2)), QuantRule("head*"), QuantRule("body.0.*", QuantSpec("rlq", 8))
    order = [low, keep, high]
    assert rule_for("body.0.conv1", order) is high
    assert rule_for("body.10.conv1", order) is low
    assert rule_for("head.conv", order) is keep
    assert rule_for("x", []) is None
    assert keep.keeps
    assert not low.keeps


def test_patterns_are_case_sensitive_and_cross_dots() -> None:
    assert QuantRule("body.*.conv1").matches("body.3.branch.conv1")
    assert not QuantRule("Body.*").matches("body.0")


@pytest.mark.parametrize("name", METHODS)
def test_every_registered_method_exists(name: str) -> None:
    module, _, attribute = METHODS[name].target.partition(":")
    assert hasattr(importlib.import_module(module), attribute)
    for lowest, highest in (METHODS[name].w_bits, METHODS[name].a_bits):
        assert 1 <= lowest <= highest <= 8
    assert METHODS[name].title
