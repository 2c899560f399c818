"""Tasks in processes: killed and resumed, stopped with their starter, failing with a reason."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from board_drill import BOARD, plan, stored

from qsr.leaderboard.child import Child
from qsr.leaderboard.lease import Lease
from qsr.leaderboard.run import Session
from qsr.leaderboard.work import Job

PATIENCE = 250
pytestmark = pytest.mark.timeout(600)


def job(folder: Path, data: Path, iterations: int = 6, **changes: Any) -> Job:
    budget = {**BOARD["budget"], "start_iterations": iterations}
    made = Session(plan(folder, data, rows=[BOARD["rows"][1]], budget=budget, **changes), any_code=True, stale=5)
    return made.jobs["fp_s0"]


def until_checkpoint(child: Child) -> None:
    """Wait until a checkpoint of the running task is complete."""
    end = time.monotonic() + PATIENCE
    while not (child.job.task.folder / "checkpoints/LATEST").is_file():
        assert child.process.poll() is None, child.log.read_text()
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_killed_row_resumes_from_its_checkpoint(tmp_path: Path, data: Path) -> None:
    endless = job(tmp_path, data, iterations=400)
    child = Child(endless, threads=1)
    until_checkpoint(child)
    child.process.send_signal(signal.SIGKILL)
    ended = child.wait()
    assert (ended.state, ended.why) == ("failed", "killed by SIGKILL")
    assert stored(tmp_path / "out", "fp_s0")["why"] == "killed by SIGKILL"
    # the lease of a dead process of this host is free at once
    assert Lease(tmp_path / "out/locks", "fp_s0").holder() is None
    again = Child(endless, threads=1)
    assert again.wait().state == "done", again.log.read_text()
    assert "resumed" in again.log.read_text()
    assert stored(tmp_path / "out", "fp_s0")["iterations"] == 400


def test_a_row_stops_with_its_starter_after_saving(tmp_path: Path, data: Path) -> None:
    child = Child(job(tmp_path, data, iterations=1_000_000), threads=1)
    until_checkpoint(child)
    child.stop()
    child.process.wait(PATIENCE)
    ended = child.ended()
    assert ended is not None
    assert ended.state == "stopped"
    assert "SIGTERM" in ended.why
    assert not (tmp_path / "out/results/fp_s0.json").exists()
    assert Lease(tmp_path / "out/locks", "fp_s0").holder() is None


def test_the_reason_is_the_last_line(tmp_path: Path, data: Path) -> None:
    wrong = job(tmp_path, data)
    options = [text.replace("gt_size=12", "gt_size=120") for text in wrong.task.overrides]
    failing = replace(wrong, task=replace(wrong.task, overrides=tuple(options)))
    child = Child(failing, threads=1)
    ended = child.wait()
    assert ended.state == "failed"
    assert "cannot hold a patch of gt_size 120" in ended.why
    assert not ended.why.startswith("qsr:")
    assert stored(tmp_path / "out", "fp_s0")["status"] == "failed"


def test_a_row_in_use_is_left_alone(tmp_path: Path, data: Path) -> None:
    mine = replace(job(tmp_path, data), stale=0.4)
    folder = tmp_path / "out/locks"
    folder.mkdir(parents=True)
    taken = folder / "fp_s0.1"
    taken.write_text(json.dumps({"host": "elsewhere", "pid": 1}))
    os.utime(taken, (time.time() + 1000, time.time() + 1000))
    ended = Child(mine, threads=1).wait()
    assert ended.state == "busy"
    assert "row in use by process 1 on elsewhere" in ended.why
    assert not (tmp_path / "out/results/fp_s0.json").exists()


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_are_limited(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    seen: dict[str, Any] = {}

    class Process:
        def __init__(self, command: list[str], env: dict[str, str], **how: Any) -> None:
            seen.update(env)

    monkeypatch.setattr("qsr.leaderboard.child.subprocess.Popen", Process)
    Child(job(tmp_path, data), threads)
    assert seen["OMP_NUM_THREADS"] == seen["MKL_NUM_THREADS"] == str(threads)
