"""The local executor: order, failures that stay their row's, and two shards that share a folder."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from board_drill import BOARD, plan, qsr, store, stored, write_board

from qsr.leaderboard import run
from qsr.leaderboard.child import Ended
from qsr.leaderboard.run import Session, execute
from qsr.leaderboard.work import Job

ROWS: list[dict[str, Any]] = BOARD["rows"]
SECOND = 0.02


class Workers:
    """Stands in for the processes: each task takes three looks, then ends as `endings` say (default: done)."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.endings: dict[str, str] = {}
        self.begun: list[str] = []
        self.stopped: list[str] = []
        self.now = 0
        self.most = 0

    def __call__(self, job: Job, threads: int) -> Worker:
        self.begun.append(job.task.name)
        self.now += 1
        self.most = max(self.most, self.now)
        return Worker(self, job)


class Worker:
    def __init__(self, workers: Workers, job: Job) -> None:
        self.workers, self.job, self.process, self._looks = workers, job, self, 0

    def poll(self) -> int | None:
        self._looks += 1
        return 0 if self._looks > 3 else None

    def wait(self) -> Ended:
        self.workers.now -= 1
        why = self.workers.endings.get(self.job.task.name)
        if self.job.task.name in self.workers.stopped:
            return Ended("stopped")
        store(self.workers.session, self.job.task, None if why else 30.0, why or "")
        return Ended("failed", why) if why else Ended("done")

    def stop(self) -> None:
        self.workers.stopped.append(self.job.task.name)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(run, "POLL_SECONDS", SECOND)
    return []


def session_of(folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch, **how: Any) -> tuple[Session, Workers]:
    session = Session(plan(folder, data, how))
    workers = Workers(session)
    monkeypatch.setattr(run, "Child", workers)
    return session, workers


def test_all_rows_each_once_after_its_start(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, told: list[str]
) -> None:
    session, workers = session_of(tmp_path, data, monkeypatch)
    execute(session, jobs=2, tell=told.append)
    assert sorted(workers.begun) == sorted(task.name for task in session.plan.tasks)
    assert workers.begun.index("fp_s1") < workers.begun.index("lsq_w2a2_s1")
    assert workers.most == 2
    assert "rlq_w2a2_s0: done: Held 30.00, Out 30.00" in told
    again = Workers(session)
    monkeypatch.setattr(run, "Child", again)
    execute(Session(session.plan), tell=told.append)
    assert again.begun == []
    assert told[-1].startswith("6 rows are done already, 0 to do")


def test_a_failure_is_the_rows_own(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, told: list[str]) -> None:
    session, workers = session_of(tmp_path, data, monkeypatch)
    workers.endings = {"rlq_w2a2_s0": "NaN at iteration 3", "fp_s1": "no memory"}
    execute(session, tell=told.append)
    states = {name: ended.state for name, ended in session.outcome.items()}
    assert states == dict.fromkeys(("fp_s0", "lsq_w2a2_s0"), "done") | dict.fromkeys(
        ("rlq_w2a2_s0", "fp_s1", "rlq_w2a2_s1", "lsq_w2a2_s1"), "failed"
    )
    assert stored(tmp_path / "out", "lsq_w2a2_s1")["why"] == "its start fp_s1 failed: no memory"
    assert session.status(session.plan.by_name["rlq_w2a2_s0"]) == "failed"
    # what failed is tried again by the next run, and only that
    session, workers = session_of(tmp_path, data, monkeypatch)
    execute(session, tell=told.append)
    assert sorted(workers.begun) == ["fp_s1", "lsq_w2a2_s1", "rlq_w2a2_s0", "rlq_w2a2_s1"]


def test_the_cores_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run.os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert [run._threads(jobs) for jobs in (1, 3, 20)] == [8, 2, 1]
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert run._threads(3) == 5


def test_ctrl_c_lets_the_running_rows_save(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session, workers = session_of(tmp_path, data, monkeypatch)

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run.time, "sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        execute(session, jobs=2, tell=lambda line: None)
    assert workers.stopped == workers.begun == ["fp_s0", "fp_s1"]


def test_another_shards_start_is_waited_for(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, told: list[str]
) -> None:
    session, workers = session_of(tmp_path, data, monkeypatch, shard=(2, 3), only=["*_s0"])
    assert [task.name for task in session.plan.mine] == ["rlq_w2a2_s0"]
    locks = tmp_path / "out/locks"
    locks.mkdir()
    held = locks / "fp_s0.1"
    held.write_text(json.dumps({"host": "node7/boot/", "pid": 12}))
    looks = 0

    def sleep(seconds: float, real: Any = time.sleep) -> None:
        nonlocal looks
        looks += 1
        os.utime(held)
        if looks == 10:
            store(session, session.plan.by_name["fp_s0"], 31.0)
        real(seconds)

    monkeypatch.setattr(run.time, "sleep", sleep)
    # no patience at all: it does not count while somebody works on it
    execute(session, tell=told.append, patience=0)
    assert workers.begun == ["rlq_w2a2_s0"]
    assert next(line for line in told if "waiting" in line).startswith(
        "fp_s0: another shard's start, made by process 12 on node7"
    )


def test_a_start_that_nobody_makes_is_not_waited_for_forever(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, told: list[str]
) -> None:
    store(Session(plan(tmp_path, data)), plan(tmp_path, data).by_name["fp_s0"], why="failed last week")
    os.utime(tmp_path / "out/results/fp_s0.json", (1e9, 1e9))
    session, workers = session_of(tmp_path, data, monkeypatch, shard=(2, 3), only=["*_s0"])
    execute(session, tell=told.append, patience=0.1)
    assert workers.begun == []
    assert "which no shard works on" in session.outcome["rlq_w2a2_s0"].why


def test_another_shards_failure_is_passed_on(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, told: list[str]
) -> None:
    session, _ = session_of(tmp_path, data, monkeypatch, shard=(2, 3), only=["*_s0"])
    store(session, session.plan.by_name["fp_s0"], why="disk full")
    execute(session, tell=told.append)
    assert session.outcome["rlq_w2a2_s0"] == Ended("failed", "its start fp_s0 failed: disk full")


def test_a_row_that_somebody_does_is_left_to_him(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, told: list[str]
) -> None:
    session, workers = session_of(tmp_path, data, monkeypatch, only=["fp_s0"])
    locks = tmp_path / "out/locks"
    locks.mkdir()
    (locks / "fp_s0.1").write_text(json.dumps({"host": "node7", "pid": 12}))
    assert session.status(session.plan.by_name["fp_s0"]) == "running"
    looks = 0

    def sleep(seconds: float, real: Any = time.sleep) -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            store(session, session.plan.by_name["fp_s0"], 31.0)
        real(seconds)

    monkeypatch.setattr(run.time, "sleep", sleep)
    execute(session, tell=told.append)
    assert workers.begun == []
    assert told[1].startswith("fp_s0: left to process 12 on node7")
    assert told[2] == "fp_s0: done by another worker"


@pytest.mark.timeout(500)
def test_two_shards_share_a_folder_and_do_every_row_once(tmp_path: Path, data: Path) -> None:
    """The drill: two commands at the same time, nothing between them but the folder."""
    file = write_board(tmp_path, seeds=[0], rows=ROWS[:2])
    arguments = ["leaderboard", "-opt", str(file), "-o", str(tmp_path / "out"), "--data-root", str(data), "--any-code"]
    shards = [qsr(*arguments, "--shard", f"{i}/2") for i in (1, 2)]
    try:
        outputs = [shard.communicate(timeout=450)[0] for shard in shards]
    finally:
        for shard in shards:
            shard.kill()
    assert [shard.returncode for shard in shards] == [0, 0], outputs
    assert "rlq_w2a2_s0: done" in outputs[1]
    assert "fp_s0: begins" not in outputs[1]
    for name in ("fp_s0", "rlq_w2a2_s0"):
        assert (tmp_path / f"out/rows/{name}/train.log").read_text().count("stage: ") == 1
        assert len(list((tmp_path / "out/locks").glob(f"{name}.*"))) == 1
    board = json.loads((tmp_path / "out/leaderboard.json").read_text())
    assert {row["status"] for row in board["rows"]} == {"done"}
