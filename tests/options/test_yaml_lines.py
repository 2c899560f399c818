"""Option files as text: hostile and clumsy ones end in one line that names file and line, quickly."""

from __future__ import annotations

import errno
import time
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qsr.errors import OptionsError
from qsr.options.yaml_lines import MAX_BYTES, MAX_DEPTH, MAX_NODES, parse_yaml, plain_scalar, read_yaml

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join(['*' + old] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
TOWER = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 400))

# text -> (line, a part of the message)
HOSTILE = {
    "python call": ("a: 1\nb: !!python/object/apply:os.getcwd []", 2, "!!python/object/apply:os.getcwd"),
    "python name": ("a: !!python/name:os.getcwd", 1, "!!python/name:os.getcwd"),
    "python mapping": ("a: !!python/object:os.X {b: 1}", 1, "!!python/object:os.X"),
    "tagged key": ("!!python/name:os.x a: 1", 1, "!!python/name:os.x"),
    "own tag": ("a: !evil x", 1, "!evil"),
    "binary": ("a: !!binary AAAA", 1, "!!binary"),
    "alias bomb": (BOMB, 5, "values"),
    "alias tower": (TOWER, MAX_DEPTH, "nested deeper"),
    "endless alias": ("a: &x [*x]", 1, "without its anchor"),
    "unknown alias": ("a: 1\nb: *x", 2, "*x"),
    "deep brackets": ("[" * 500_000, 1, "nested deeper"),
    "deep braces": ("{a: " * 200_000, 1, "nested deeper"),
    "deep dashes": ("- " * 300_000, 1, "nested deeper"),
    "deep keys": ("? " * 300_000, 1, "plain word"),
    "many values": ("[" + "a," * (MAX_NODES + 1) + "]", 1, "values"),
    "duplicate": ("a: 1\nb: 2\na: 3", 3, "first in line 1"),
    "nested duplicate": ("a:\n  b: 1\n  b: 2", 3, "'b' appears twice"),
    "merge key": ("a: &a {b: 1}\nc: {<<: *a}", 2, "base:"),
    "list as key": ("[a]: 1", 1, "plain word"),
    "tab": ("a:\n\tb: 1", 2, "tab"),
    "indentation": ("a:\n    b: 1\n  c: 2", 3, "indentation"),
    "outdented start": ("  a: 1\nb: 2", 2, "indentation"),
    "second colon": ("a: b: c", 1, "':'"),
    "two documents": ("a: 1\n---\nb: 2", 2, "second document"),
    "unclosed bracket": ("x: 1\na: [1, 2\nb: 3", 3, "begun in line 2"),
    "unclosed quote": ("a: 'b", 1, "end of stream"),
    "control character": ("a: 1\nb: \x07", 2, "U+0007"),
    "wrong type tag": ("a: !!float x", 1, "!!float"),
}


@pytest.mark.drill("F6")
@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_text_is_refused_quickly_with_its_line(case: str) -> None:
    text, line, part = HOSTILE[case]
    began = time.process_time()
    with pytest.raises(OptionsError) as caught:
        parse_yaml(text, "x.yml")
    assert time.process_time() - began < 1
    assert caught.value.where == f"x.yml:{line}"
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


# bytes -> a part of the message
HOSTILE_FILES = {
    "utf-8 byte order mark": (b"\xef\xbb\xbfa: 1", "1: begins with a byte order mark"),
    "utf-16": ("a: 1".encode("utf-16"), "1: begins with a byte order mark"),
    "latin-1": (b"a: 1\nb: caf\xe9", "2: byte 0xe9 is not UTF-8"),
    "ten megabytes": (b"a: " + b"x" * 10_000_000, "1: larger than"),
    "null bytes": (b"a: 1\n\x00\x00", "2: control character U+0000"),
}


@pytest.mark.drill("F6")
@pytest.mark.parametrize("case", HOSTILE_FILES)
def test_hostile_bytes_are_refused_with_the_file_named(case: str, tmp_path: Path) -> None:
    content, part = HOSTILE_FILES[case]
    file = tmp_path / "x.yml"
    file.write_bytes(content)
    with pytest.raises(OptionsError) as caught:
        read_yaml(file)
    assert str(caught.value).startswith(f"{file}:{part}")


def test_missing_file_and_folder_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "no.yml", tmp_path):
        with pytest.raises(OptionsError, match="no such option file") as caught:
            read_yaml(path)
        assert caught.value.where == str(path)


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path, mode: str) -> NoReturn:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    (tmp_path / "secret.yml").write_text("a: 1")
    monkeypatch.setattr(Path, "open", denied)  # root, under whom tests may run, is denied nothing
    with pytest.raises(OptionsError, match="cannot be read: Permission denied") as caught:
        read_yaml(tmp_path / "secret.yml")
    assert caught.value.where == str(tmp_path / "secret.yml")


def test_largest_text_that_fits_is_read() -> None:
    assert parse_yaml("a: " + "x" * (MAX_BYTES - 3), "x.yml").value["a"].startswith("xxx")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2e-4", 2e-4),
        ("!!float 2e-4", 2e-4),
        ("1E5", 1e5),
        (".5e3", 500.0),
        ("255.", 255.0),
        ("!!float 5", 5.0),
        ("-1", -1),
        ("017", 17),
        ("1_000", 1000),
        ("~", None),
        ("", None),
        ("true", True),
        ("off", "off"),
        ("yes", "yes"),
        ("n", "n"),
        ("1:30", "1:30"),
        ("2020-01-01", "2020-01-01"),
        ("'4'", "4"),
        ("!!str 4", "4"),
        (".inf", float("inf")),
        ("[1, 2e-1]", [1, 0.2]),
        ("9" * 100, "9" * 100),
    ],
)
def test_scalars(text: str, value: object) -> None:
    found = parse_yaml(f"a: {text}", "x.yml").value["a"]
    assert found == value
    assert type(found) is type(value)


def test_every_key_and_item_has_its_line() -> None:
    document = parse_yaml("# comment\na: 1\nb:\n  c:\n    - 5\n    - {d: 6}\n", "x.yml")
    assert document.value == {"a": 1, "b": {"c": [5, {"d": 6}]}}
    assert document.lines[("a",)] == 2
    assert document.lines[("b", "c")] == 4
    assert document.lines[("b", "c", 1, "d")] == 6


def test_aliases_are_read_where_they_are_modest() -> None:
    assert parse_yaml("a: &x [1]\nb: *x", "x.yml").value == {"a": [1], "b": [1]}


def where_it_failed(text: str) -> str | None:
    try:
        parse_yaml(text, "x.yml")
    except OptionsError as fault:
        return fault.where or "nowhere"
    return None


@given(st.text(max_size=200))
def test_any_text_is_a_value_or_one_error(text: str) -> None:
    assert (where_it_failed(text) or "x.yml:").startswith("x.yml:")


@given(st.floats(allow_nan=False) | st.integers(-(10**30), 10**30))
def test_numbers_survive(number: float) -> None:
    assert plain_scalar(repr(number).replace("inf", ".inf")) == number
