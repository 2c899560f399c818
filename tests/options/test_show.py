"""`qsr options show` prints what loads again to the same options."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qsr.options import load
from qsr.options.show import show, to_yaml
from qsr.options.yaml_lines import parse_yaml

STYLE = Path(__file__).parent / "basicsr_style"


def test_every_value_has_its_origin(valid: Path) -> None:
    lines = show(load(valid, ["quant.a_bits=8"])).splitlines()
    words = {line.split("#")[0].strip(): line.partition("# ")[2] for line in lines}
    assert words["scale: 2"] == f"{valid}:2"
    assert words["w_bits: 4"] == f"{valid}:12"
    assert words["a_bits: 8"] == "--set"
    assert words["shift: true"] == "default"
    assert words["quant:"] == ""


def test_comments_are_aligned(valid: Path) -> None:
    columns = {line.index("  # ") for line in show(load(valid)).splitlines() if " # " in line}
    assert len({line.index("#") for line in show(load(valid)).splitlines() if "#" in line}) == 1
    assert columns


@pytest.mark.parametrize("name", ["train_EDSR_Mx4", "test_SwinIR_classical_x4"])
def test_what_is_shown_loads_again(name: str, tmp_path: Path) -> None:
    resolved = load(STYLE / f"{name}.yml")
    again = tmp_path / "again.yml"
    again.write_text(show(resolved))
    assert load(again).options == resolved.options
    assert load(again).ignored == ()


def test_ignored_keys_are_listed() -> None:
    text = show(load(STYLE / "train_EDSR_Mx4.yml"))
    assert f"# {STYLE / 'train_EDSR_Mx4.yml'}:5  num_gpu: ignored, devices" in text


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_survives(text: str) -> None:
    assert parse_yaml(to_yaml({"a": text, "b": [text]}), "x").value == {"a": text, "b": [text]}


@pytest.mark.parametrize("word", ["off", "1e5", "~", "true", "null", "2:3", "-", "", "a b", "x4", "{}x4", "#a", "é"])
def test_words_that_could_be_something_else(word: str) -> None:
    assert parse_yaml(to_yaml({"a": word}), "x").value == {"a": word}
