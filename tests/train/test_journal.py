"""Logs: each iteration once also after a crash, and no log ever ends a run."""

from __future__ import annotations

import json
from pathlib import Path

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
