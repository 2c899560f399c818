"""The drill of three kills: passes here, and notices a resume that forgets something."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

pytest.importorskip("torch")

from qsr.doctor import resume
from qsr.doctor.registry import select
from qsr.doctor.resume import check_resume, deadly, differences, ended
from qsr.doctor.run import examine


@pytest.mark.drill("T1")
def test_three_kills_and_a_resume_as_the_command_runs_them(tmp_path: Path, drill):
    report = examine(select(["resume"]), tmp_path / "experiments")
    assert report.results[0].finding.status == "ok", report.results[0].finding
    assert "killed 3 times" in report.results[0].finding.found
    assert list(tmp_path.iterdir()) == []
    drill.count(3)


@pytest.mark.parametrize(
    ("forgets", "noticed"),
    [("qsr.train.optim.load", "training: "), ("qsr.train.journal.Journal.rewind", "metrics of iteration ")],
)
def test_a_resume_that_forgets_something_is_noticed(tmp_path: Path, monkeypatch, forgets: str, noticed: str):
    """The forked runs inherit the broken product: it loses the optimizer's moments, or writes rows twice."""
    monkeypatch.setattr(resume, "KILLS", ({"at": 8},))
    monkeypatch.setattr(forgets, lambda *state: None)
    found = check_resume(tmp_path)
    assert found.status == "fail"
    assert "after 1 kills the result differs from an undisturbed training: " in found.found
    assert any(name.startswith(noticed) for name in found.facts["different"])
    assert list(tmp_path.iterdir()) == []


def test_a_training_that_fails_by_itself_is_said(tmp_path: Path, monkeypatch):
    def broken(*args, **how):
        raise ValueError("it does not train")

    monkeypatch.setattr("qsr.train.run.train", broken)
    found = check_resume(tmp_path)
    assert found.status == "fail"
    assert "ends with exit code 1 (ValueError: it does not train)" in found.found


def test_a_kill_that_does_not_happen_is_a_failure(tmp_path: Path, monkeypatch):
    real = resume.run
    monkeypatch.setattr(resume, "run", lambda chosen, resume=False, **how: real(chosen, resume=resume))
    found = check_resume(tmp_path)
    assert found.status == "fail"
    assert "was to be killed ({'at': 4}) ends with exit code 0" in found.found


def test_the_deadly_fsync_counts_only_unfinished_checkpoints(tmp_path: Path, monkeypatch):
    killed = []
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append(number))
    fsync = deadly(lambda handle: None, 2)
    inside = tmp_path / "checkpoints" / ".00000003.tmp-1"
    inside.mkdir(parents=True)
    for path, dead in (
        (tmp_path / "options.json", 0),
        (inside / "a", 0),
        (tmp_path / "x", 0),
        (inside / "b", 1),
        (inside / "c", 1),
    ):
        with open(path, "wb") as handle:
            fsync(handle.fileno())
        assert len(killed) == dead
    assert killed == [signal.SIGKILL]


def test_differences_and_ends():
    assert differences({"a": 1, "b": 2}, {"a": 1, "b": 2}) == []
    assert differences({"a": 1, "b": 2}, {"a": 1, "c": 2}) == ["b", "c"]
    assert differences({"a": 1}, {"a": 2}) == ["a"]
    assert ended(-signal.SIGSEGV, "") == "SIGSEGV"
    assert ended(4, "NumericalError: NaN\ntraceback") == "exit code 4 (NumericalError: NaN)"
