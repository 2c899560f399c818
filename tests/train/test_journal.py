"""Logs: each iteration once also after a crash, and no log ever ends a run."""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import pytest

from qsr.train import journal as journal_module
from qsr.train.journal import Journal


def rows(folder: Path) -> list[int]:
    return [json.loads(line)["iter"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_rewind_drops_what_will_be_written_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path, print)
    for iteration in (1, 2, 3):
        journal.row(iteration, {"loss": 0.5})
    with open(tmp_path / "metrics.jsonl", "a") as handle:
        handle.write('{"iter": 2, "lo')  # killed while writing
    journal.rewind(2)
    assert rows(tmp_path) == [1, 2]
    journal.rewind(0)
    assert rows(tmp_path) == []


def test_what_a_crash_left_is_no_row(tmp_path: Path) -> None:
    """Zeros where a row was, half a row with the next one behind it, bytes that are no text: a resume passes over them."""
    journal = Journal(tmp_path, print)
    journal.row(1, {"loss": 0.5})
    with open(tmp_path / "metrics.jsonl", "ab") as handle:
        handle.write(bytes(30) + b'\n{"iter": 2, "lo{"iter": 2}\n\xff\xfe\n[]\n{"iter": "x"}\n')
    journal.row(3, {})
    journal.rewind(3)
    assert rows(tmp_path) == [1, 3]


def test_a_full_disk_leaves_no_half_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = 20

    class Full:
        def __init__(self, path: Path, mode: str, buffering: int) -> None:
            self.handle = builtins.open(path, mode, buffering=buffering)  # noqa: SIM115 - __exit__ closes it

        def __getattr__(self, name: str) -> Any:
            return getattr(self.handle, name)

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            self.handle.close()

        def write(self, content: bytes) -> int:
            return int(self.handle.write(content[:room]))

    heard: list[str] = []
    journal = Journal(tmp_path, heard.append)
    journal.row(1, {})
    with monkeypatch.context() as patch:
        patch.setattr(journal_module, "open", Full, raising=False)
        journal.row(2, {"loss": 0.125})
    journal.row(3, {})
    assert rows(tmp_path) == [1, 3]
    assert len(heard) == 1
    assert "No space left on device" in heard[0]


def test_lines_go_to_the_terminal_and_to_the_log(tmp_path: Path) -> None:
    heard: list[str] = []
    journal = Journal(tmp_path, heard.append)
    journal.say("hello")
    journal.say("bad", "ERROR")
    journal.note("only in the log")
    assert heard == ["hello", "ERROR: bad"]
    text = (tmp_path / "train.log").read_text().splitlines()
    assert [line[20:] for line in text] == ["INFO: hello", "ERROR: bad", "INFO: only in the log"]


def test_a_log_that_cannot_be_written_is_said_once(tmp_path: Path) -> None:
    heard: list[str] = []
    journal = Journal(tmp_path / "not there", heard.append)
    journal.row(1, {})
    journal.row(2, {})
    assert len(heard) == 1
    assert "training goes on" in heard[0]


def test_numbers_of_a_row_go_to_tensorboard_too(tmp_path: Path) -> None:
    heard: list[tuple[int, dict[str, float]]] = []
    journal = Journal(tmp_path, print)
    journal.scalars = lambda iteration, values: heard.append((iteration, values))
    journal.row(3, {"lr": 1e-4, "l_pix": 0.5, "validation": {}, "best": True})
    assert heard == [(3, {"lr": 1e-4, "l_pix": 0.5})]


def test_other_ranks_write_nothing(tmp_path: Path) -> None:
    heard: list[str] = []
    journal = Journal(tmp_path, heard.append, active=False)
    journal.say("hello")
    journal.row(1, {})
    journal.rewind(0)
    assert heard == []
    assert list(tmp_path.iterdir()) == []
