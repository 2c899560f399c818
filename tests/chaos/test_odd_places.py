"""Clocks that jump, time zones that change, paths that nobody expects: it works, or exit code 2 says why (reliability T11)."""

from __future__ import annotations

import io
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from train_drill import assert_same, outcome, small_options

from qsr.errors import OptionsError, StoppedOnRequest
from qsr.train import checkpoint, state
from qsr.train.job import Job
from qsr.train.run import train


@pytest.fixture(scope="module")
def undisturbed(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("undisturbed")
    train(small_options(pictures, root), notify=lambda line: None)
    return outcome(root / "tiny")


def stopped_and_resumed(pictures: Path, root: Path) -> dict[str, Any]:
    """Train below `root`, stopped once after iteration 6; what it leaves."""
    stepped = Job.stepped

    def watched(self: Job, iteration: int) -> None:
        stepped(self, iteration)
        if iteration == 6:
            self.stop.ask("test")

    options = small_options(pictures, root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Job, "stepped", watched)
        with pytest.raises(StoppedOnRequest):
            train(options, notify=lambda line: None)
    lines: list[str] = []
    train(options, auto_resume=True, notify=lines.append)
    assert any(line.startswith("resumed ") and "00000007 at iteration 7 " in line for line in lines), "it lost what was saved"
    found = checkpoint.newest(root / "tiny" / "checkpoints", print, state.check)
    assert found is not None
    return outcome(root / "tiny")


PLACES = {
    "spaces": "a folder  with spaces ",
    "letters": "Überauflösung 超解像 é́",
    "emoji": "🙂",
    "quotes": 'it\'s "quoted" $HOME `x` \\ ; &',
    "newline": "two\nlines",
    "dashes": "-rf",
    "long": "/".join(["d" * 250] * 14),
}


@pytest.mark.drill("T11")
@pytest.mark.parametrize("place", PLACES)
def test_it_works_in(undisturbed: dict[str, Any], pictures: Path, tmp_path: Path, place: str) -> None:
    assert_same(stopped_and_resumed(pictures, tmp_path / PLACES[place]), undisturbed)


REFUSED = {
    "a path of 4 kB": ("/".join(["d" * 250] * 17), "path too long: files in it need"),
    "a name of 300 bytes": ("d" * 300, "name too long: 300 bytes, this system takes 255"),
    "bytes that are no text": (os.fsdecode(b"\xff\xfe"), "no text"),
}


@pytest.mark.drill("T11")
@pytest.mark.parametrize("place", REFUSED)
def test_it_refuses_before_anything_is_written(pictures: Path, tmp_path: Path, place: str) -> None:
    folder, message = REFUSED[place]
    with pytest.raises(OptionsError, match=message) as caught:
        train(small_options(pictures, tmp_path / folder), notify=lambda line: None)
    assert caught.value.exit_code == 2
    assert len(str(caught.value)) < 400
    assert os.listdir(tmp_path) == []


@pytest.mark.drill("T11")
@pytest.mark.parametrize("jump", ["back a year", "ahead ten years", "to and fro"])
def test_clocks_that_jump_change_nothing(
    undisturbed: dict[str, Any], pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: str
) -> None:
    chance, clock = random.Random(3), time.time
    year = 365 * 86400.0
    shifts = {
        "back a year": lambda: -year,
        "ahead ten years": lambda: 10 * year,
        "to and fro": lambda: chance.uniform(-year, year),
    }
    monkeypatch.setattr(time, "time", lambda: clock() + shifts[jump]())
    monkeypatch.setattr(time, "strftime", lambda form, *args, now=time.strftime: now(form, time.localtime(time.time())))
    assert_same(stopped_and_resumed(pictures, tmp_path), undisturbed)


@pytest.mark.drill("T11")
def test_a_change_of_time_zone_changes_nothing(
    undisturbed: dict[str, Any], pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stepped = Job.stepped

    def travelling(self: Job, iteration: int) -> None:
        stepped(self, iteration)
        monkeypatch.setenv("TZ", ("Pacific/Kiritimati", "Pacific/Pago_Pago", "UTC")[iteration % 3])
        time.tzset()

    monkeypatch.setattr(Job, "stepped", travelling)
    try:
        assert_same(stopped_and_resumed(pictures, tmp_path), undisturbed)
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()


@pytest.mark.drill("T11")
def test_a_terminal_without_the_letters_of_a_path_ends_nothing(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", terminal := io.TextIOWrapper(written, encoding="ascii"))
    for auto_resume in (False, True):  # the second one names the checkpoint that it finds
        train(small_options(pictures, tmp_path / "超解像", name="é"), auto_resume=auto_resume)
    terminal.flush()
    monkeypatch.undo()
    assert b"[\\xe9][epoch:" in written.getvalue()
    assert b"resumed " in written.getvalue()
