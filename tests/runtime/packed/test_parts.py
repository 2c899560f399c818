"""Objects taken apart: what is asked for, what is left over, how faults are named."""

from __future__ import annotations

import pytest

from qsr.errors import FormatError
from qsr.runtime.packed.parts import MAX_NAME, Part


def test_every_kind_of_value() -> None:
    part = Part(
        {"i": 3, "n": None, "f": 2, "b": False, "t": "a", "v": "w", "w": 1.5, "m": {}, "p": [1, 2], "two": ["a", "b"]}, "x"
    )
    assert part.integer("i", 0, 3) == 3
    assert part.integer_or_none("n", 0, 3) is None
    assert type(part.number("f")) is float
    assert part.flag("b") is False
    assert part.text("t") == "a"
    assert (part.vector("v"), part.vector("w")) == ("w", 1.5)
    assert part.mapping("m") == {}
    assert part.numbers("p", 2, 2) == (1, 2)
    assert part.two_names("two") == ("a", "b")
    part.done()


def test_paths_grow_inwards() -> None:
    part = Part({"a": [{"b": {"c": 3}}]}, "metadata")
    with pytest.raises(FormatError, match=r"^a\[0\]\.b\.c: found 3, expected true or false"):
        part.several("a", lambda item: item.inner("b", lambda deep: deep.flag("c")), 1, 1)


def test_vectors_and_lists() -> None:
    assert Part({"s": [1, "x"]}, "a").vectors("s", 2) == (1.0, "x")
    for value in ([], [1, 2, 3], {}, "ab"):
        with pytest.raises(FormatError, match="a.s: found .*, expected a list of 1 to 2"):
            Part({"s": value}, "a").vectors("s", 2)
    assert Part({"s": None}, "a").inner_or_none("s", lambda part: part) is None


@pytest.mark.parametrize("value", ["", "a" * (MAX_NAME + 1), "a\n", "\x00", "\ud800", "\u202e", 3, None])
def test_names_are_printable(value) -> None:
    with pytest.raises(FormatError, match="expected a printable name of 1 to 256 characters") as caught:
        Part({"t": value}, "a").text("t")
    assert str(caught.value).isascii()
    assert len(str(caught.value)) < 200


def test_what_is_left_over() -> None:
    part = Part({"stride": 1, "strides": 1}, "a")
    part.integer("stride", 1, 1)
    with pytest.raises(FormatError, match=r"a.strides: unknown key \(like 'stride', which is there too\)"):
        part.done()
    with pytest.raises(FormatError, match=r"^a: found \[1, 2\]|a: found a list of 2: \[1, 2\], expected an object"):
        Part([1, 2], "a")
