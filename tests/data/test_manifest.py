from __future__ import annotations

import pytest

from qsr.data.manifest import Entry, compare, digest, read_manifest, write_manifest
from qsr.errors import DataError

A = Entry(10, (4, 5, 3), 8, digest(b"a"))
B = Entry(11, (4, 5, 3), 16, digest(b"b"))


def test_round_trip(tmp_path):
    write_manifest(tmp_path / "m.json", {"b.png": B, "a b.png": A})
    assert read_manifest(tmp_path / "m.json") == {"a b.png": A, "b.png": B}


def test_changed_gone_and_new_are_told_apart():
    assert compare({"a": A, "b": A, "c": A}, {"a": A, "b": B, "d": B}) == [
        ("b", "changed since the manifest was written"),
        ("c", "in the manifest, but not here"),
        ("d", "not in the manifest"),
    ]


def test_digest_is_blake2b_128():
    assert digest(b"") == "cae66941d9efbd404e4d88758ea67670"


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 1}', '{"format": 1, "files": {"a": {}}}', '{"format": 1, "files": {"a": 3}}']
)
def test_anything_else_is_refused(text, tmp_path):
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(DataError, match=r"m\.json: not a manifest"):
        read_manifest(tmp_path / "m.json")


def test_another_format_is_named(tmp_path):
    (tmp_path / "m.json").write_text('{"format": 2, "files": {}}')
    with pytest.raises(DataError, match="format 2, expected 1"):
        read_manifest(tmp_path / "m.json")
