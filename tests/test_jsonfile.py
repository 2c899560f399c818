"""JSON of strangers: too large, too deep, no text, no JSON, and each who reads it says so in its own words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from qsr import jsonfile
from qsr.data.manifest import read_manifest
from qsr.errors import DataError, FormatError, QsrError
from qsr.jsonfile import parse_json, read_json
from qsr.report.board import read_board
from qsr.report.frontier import is_frontier, read_frontier
from qsr.zoo.index import read_index

BAD = {
    "deep lists": b"[" * 200_000,
    "deep objects": b'{"a":' * 200_000,
    "no text": b"\xff\xfe\x00",
    "no JSON": b"{'a': 1}",
    "nothing": b"",
    "many digits": b'{"format": ' + b"9" * 50_000 + b"}",
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD.keys())
def test_what_is_wrong_is_a_value_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(ValueError):
        read_json(tmp_path / "a.json")


def test_the_size_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.json").write_bytes(b" " * 99 + b"1")
    assert read_json(tmp_path / "a.json") == 1
    monkeypatch.setattr(jsonfile, "MAX_JSON", 99)
    with pytest.raises(ValueError, match="found more than 99 bytes"):
        read_json(tmp_path / "a.json")


def test_constants_are_the_readers_business() -> None:
    assert parse_json("[NaN]", str) == ["NaN"]


@pytest.mark.parametrize("data", BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize(
    ("name", "read", "kind"),
    [
        ("manifest.json", read_manifest, DataError),
        ("leaderboard.json", read_board, FormatError),
        ("frontier.json", read_frontier, FormatError),
        ("index.json", lambda path: read_index(path.parent), FormatError),
    ],
)
def test_readers_name_the_file(
    tmp_path: Path, data: bytes, name: str, read: Callable[[Path], object], kind: type[QsrError]
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    assert not is_frontier(path)
    with pytest.raises(kind, match=name) as caught:
        read(path)
    assert len(str(caught.value).splitlines()) == 1
