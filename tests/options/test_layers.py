"""`base:` files and overrides, and how they go wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qsr.errors import OptionsError
from qsr.options.layers import MAX_FILES, parse_override, read_layers
from qsr.options.show import to_yaml
from qsr.options.yaml_lines import parse_yaml

KEYS = st.lists(st.from_regex(r"[a-z_][a-z_0-9]{0,8}", fullmatch=True), min_size=1, max_size=4)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NAMES = TEXT.filter(lambda name: name != "<<")
SCALARS = st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.floats(allow_nan=False) | TEXT
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(lambda k: k != "<<"), inner, max_size=3
        )
    ),
    max_leaves=6,
)


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.yml").write_text(text)
    return folder / "top.yml"


def test_bases_lie_underneath_in_order(tmp_path: Path) -> None:
    top = write(tmp_path, one="a: 1\nb: 1\nc: 1\n", two="b: 2\nc: 2\n", top="base: [one.yml, two.yml]\nc: 3\n")
    tree, files = read_layers(top, ["d.e=4"])
    assert tree.value == {"a": 1, "b": 2, "c": 3, "d": {"e": 4}}
    assert str(tree.origin(("b",))) == f"{tmp_path / 'two.yml'}:1"
    assert str(tree.origin(("d", "e"))) == "--set"
    assert files == (top, tmp_path / "one.yml", tmp_path / "two.yml")


def test_base_is_relative_to_the_file_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "sub" / "deep").mkdir(parents=True)
    (tmp_path / "sub" / "base.yml").write_text("base: deep/er.yml\n")
    (tmp_path / "sub" / "deep" / "er.yml").write_text("a: 1\n")
    top = write(tmp_path, top="base: sub/base.yml\n")
    assert read_layers(top, ())[0].value == {"a": 1}


def test_the_same_base_twice_is_no_circle(tmp_path: Path) -> None:
    top = write(tmp_path, low="a: 1\n", one="base: low.yml\n", two="base: low.yml\n", top="base: [one.yml, two.yml]\n")
    assert read_layers(top, ())[0].value == {"a": 1}


@pytest.mark.parametrize(
    ("below", "above", "merged"),
    [
        ("type: SRResNet, num_block: 8", "type: EDSR", {"type": "EDSR", "num_block": 8}),
        ("type: SRResNet, num_block: 8", "type: SwinIR", {"type": "SwinIR"}),
        ("type: SRResNet, num_block: 8", "num_block: 4", {"type": "SRResNet", "num_block": 4}),
        ("type: 'basicsr:A', x: 8", "type: 'basicsr:B'", {"type": "basicsr:B"}),
        ("type: 'basicsr:A', x: 8", "type: 'basicsr:A', y: 1", {"type": "basicsr:A", "x": 8, "y": 1}),
    ],
)
def test_a_network_of_another_kind_replaces_the_one_below(tmp_path: Path, below: str, above: str, merged: dict) -> None:
    top = write(tmp_path, low=f"network_g: {{{below}}}\n", top=f"base: low.yml\nnetwork_g: {{{above}}}\n")
    tree, _ = read_layers(top, ())
    assert tree.value == {"network_g": merged}
    assert {path[1] for path in tree.origins if len(path) == 2} == set(merged)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"top": "base: top.yml\n"}, "top.yml:1: base: top.yml leads back to itself"),
        ({"top": "base: one.yml\n", "one": "a: 1\nbase: top.yml\n"}, "one.yml:2: base: top.yml leads back to itself"),
        ({"top": "base: onne.yml\n", "one": ""}, "did you mean one.yml?"),
        ({"top": "a: 1\nbase: 3\n"}, "top.yml:2"),
        ({"top": "a: 1\nbase: [1]\n"}, "top.yml:2: base: found 1"),
        ({"top": "- a\n"}, "top.yml:1: holds no keys"),
        ({"top": "base: one.yml\n", "one": "b:\n\tc: 1\n"}, "one.yml:2: a tab"),
        ({"top": 'a: 1\nbase: "a\\0b.yml"\n'}, "top.yml:2: base: 'a\\x00b.yml' is no file name"),
        ({"top": f"base: {'a' * 5000}.yml\n"}, "is no file name"),
    ],
)
def test_faults_of_bases_name_file_and_line(tmp_path: Path, files: dict[str, str], message: str) -> None:
    with pytest.raises(OptionsError) as caught:
        read_layers(write(tmp_path, **files), ())
    assert message in str(caught.value)


def test_bases_that_double_at_every_level_are_stopped(tmp_path: Path) -> None:
    levels = {f"l{n}": f"base: [l{n + 1}.yml, l{n + 1}.yml]\n" for n in range(30)}
    with pytest.raises(OptionsError, match=f"more than {MAX_FILES} files"):
        read_layers(write(tmp_path, top="base: l0.yml\n", l30="a: 1\n", **levels), ())


@pytest.mark.parametrize("text", ["quant.w_bits=4", "quant:w_bits=4", " quant.w_bits =4"])
def test_both_spellings_of_an_override(text: str) -> None:
    assert parse_override(text).value == {"quant": {"w_bits": 4}}


@pytest.mark.parametrize("text", ["quant.w_bits", "=4", "quant..w_bits=4", ""])
def test_an_override_without_key_or_value_is_refused(text: str) -> None:
    with pytest.raises(OptionsError, match="expected KEY=VALUE"):
        parse_override(text)


def test_a_broken_value_names_the_override() -> None:
    with pytest.raises(OptionsError, match=r"--set a=\[1"):
        parse_override("a=[1")


@given(KEYS, VALUES, st.sampled_from(".:"))
def test_an_override_sets_exactly_its_value(keys: list[str], value: object, separator: str) -> None:
    text = to_yaml({"v": value}).removeprefix("v:") if not isinstance(value, dict) or not value else None
    if text is None:  # sections are written over several lines; an override takes the one-line form of a list's item
        text = to_yaml({"v": [value]}).removeprefix("v:").strip()[1:-1]
    found = parse_override(f"{separator.join(keys)}={text}").value
    for key in keys:
        found = found[key]
    assert found == value


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(lambda k: k != "<<"), VALUES, min_size=1
    )
)
def test_yaml_round_trip(value: dict) -> None:
    found = parse_yaml(to_yaml(value), "x.yml").value
    assert found == value
    assert repr(found) == repr(value)
