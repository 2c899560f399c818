"""The local executor: the tasks of a plan, several at a time, each in a process of its own.

A task waits for its start, whichever shard makes it; a task that another process holds is left to it. A failure is
that row's alone and of those that start from it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from qsr.leaderboard.child import Child, Ended
from qsr.leaderboard.identity import Identities
from qsr.leaderboard.lease import STALE_SECONDS, Holder, Lease
from qsr.leaderboard.measure import Gauge
from qsr.leaderboard.plan import Plan, Task
from qsr.leaderboard.work import Job, finished, read_result, write_result

POLL_SECONDS = 0.5
PATIENCE_SECONDS = 900.0
"""How long to wait for a start that another shard owns while nobody works on it."""

Tell = Callable[[str], None]


@dataclass
class Session:
    """The jobs of a plan with what this process knows about them. outcome: by task, of those it has tried."""

    plan: Plan
    any_code: bool = False
    stale: float = STALE_SECONDS
    outcome: dict[str, Ended] = field(default_factory=dict)

    def __post_init__(self) -> None:
        board = self.plan.board
        gauge = Gauge(board.scale, board.sets, board.pictures, self.plan.data_root)
        identities = Identities(self.plan)
        self.jobs = {t.name: Job(t, identities.of(t), gauge, self.any_code, self.stale) for t in self.plan.tasks}
        self.begun = _file_time(self.plan.out)
        self._finished: set[str] = set()

    def finished(self, task: Task) -> bool:
        """Whether a result that counts is there; one that was seen once is not read again."""
        if task.name not in self._finished and finished(self.jobs[task.name]):
            self._finished.add(task.name)
        return task.name in self._finished

    def holder(self, task: Task) -> Holder | None:
        return Lease(self.plan.out / "locks", task.name, self.stale).holder()

    def status(self, task: Task) -> str:
        """done, running, failed or missing, as the files say."""
        if self.finished(task):
            return "done"
        if self.holder(task) is not None:
            return "running"
        found = read_result(task)
        return "failed" if found is not None and found["status"] == "failed" else "missing"

    def failure(self, task: Task) -> str | None:
        """Why a task failed since this session began; what failed before is tried again."""
        own = self.outcome.get(task.name)
        if own is not None:
            return own.why if own.state == "failed" else None
        found = read_result(task)
        if found is None or found["status"] != "failed" or task.result_file.stat().st_mtime < self.begun:
            return None
        return str(found["why"])


def execute(
    session: Session,
    jobs: int = 1,
    *,
    tell: Tell = print,
    threads: int | None = None,
    patience: float = PATIENCE_SECONDS,
) -> None:
    """Do this shard's tasks, `jobs` at a time; returns when each is done, has failed, or has been given up.

    threads: per task; default: $OMP_NUM_THREADS, else the cores shared out. On KeyboardInterrupt the running tasks save
    and stop, then it goes on.
    """
    threads = threads or _threads(jobs)
    pending = [task for task in session.plan.mine if not session.finished(task)]
    total = len(pending)
    tell(f"{len(session.plan.mine) - total} rows are done already, {total} to do, {jobs} at a time with {threads} threads each")
    running: list[Child] = []
    queue = _Queue(session, pending, patience, tell)
    try:
        while queue.pending or running:
            for child in [child for child in running if child.process.poll() is not None]:
                running.remove(child)
                queue.settle(child.job.task, child.wait())
            while len(running) < jobs and (task := queue.next_ready()) is not None:
                tell(f"{task.name}: begins ({task.iterations:,} iterations)")
                running.append(Child(session.jobs[task.name], threads))
            if queue.pending or running:
                time.sleep(POLL_SECONDS)
    except BaseException:
        for child in running:
            child.stop()
        for child in running:
            child.wait()
        raise


class _Queue:
    """Tasks that are not begun yet; knows which may begin, and gives up those whose start will not come."""

    def __init__(self, session: Session, pending: Iterable[Task], patience: float, tell: Tell) -> None:
        self.session = session
        self.pending = list(pending)
        self.patience = patience
        self.tell = tell
        self._waiting_since: dict[str, float] = {}
        self._said: set[str] = set()

    def next_ready(self) -> Task | None:
        """The first task that nothing keeps from beginning; it leaves the queue."""
        for task in list(self.pending):
            if self.session.finished(task):
                self.pending.remove(task)
                self.tell(f"{task.name}: done by another worker")
            elif task.start is not None and not self._start_is_there(task):
                continue
            elif (holder := self.session.holder(task)) is not None:
                self._say(task, f"{task.name}: left to {holder}")
            else:
                self.pending.remove(task)
                return task
        return None

    def settle(self, task: Task, ended: Ended) -> None:
        """What became of a task that this process began."""
        if ended.state == "busy":
            self._say(task, f"{task.name}: {ended.why}")
            self.pending.append(task)
            return
        self.session.outcome[task.name] = ended
        self.tell(f"{task.name}: {ended.state}" + (f": {ended.why}" if ended.why else _scores(task)))

    def _start_is_there(self, task: Task) -> bool:
        """Whether the start is done; a task whose start failed, or does not come, fails with it."""
        assert task.start is not None
        start = self.session.plan.by_name[task.start]
        own = self.session.outcome.get(start.name)
        if self.session.finished(start) or (own is not None and own.state == "done"):
            return True
        why = self.session.failure(start)
        if why is not None:
            self._give_up(task, f"its start {start.name} failed: {why}")
        elif own is not None:
            self.pending.remove(task)
            self.session.outcome[task.name] = Ended("stopped", f"its start {start.name} was stopped")
        elif start not in self.session.plan.mine:
            self._wait_for(task, start)
        return False

    def _wait_for(self, task: Task, start: Task) -> None:
        holder = self.session.holder(start)
        now = time.monotonic()
        if holder is not None:
            self._waiting_since.pop(start.name, None)
            self._say(start, f"{start.name}: another shard's start, made by {holder}; waiting")
            return
        waited = now - self._waiting_since.setdefault(start.name, now)
        self._say(start, f"{start.name}: another shard's start, nobody works on it yet; waiting {self.patience:.0f} s")
        if waited > self.patience:
            self._give_up(task, f"waited {waited:.0f} s for its start {start.name}, which no shard works on")

    def _give_up(self, task: Task, why: str) -> None:
        self.pending.remove(task)
        self.session.outcome[task.name] = Ended("failed", why)
        job = self.session.jobs[task.name]
        write_result(job, job.identity, {"status": "failed", "why": why})
        self.tell(f"{task.name}: failed: {why}")

    def _say(self, task: Task, line: str) -> None:
        """Once per task: who holds it changes its age with every look."""
        if task.name not in self._said:
            self._said.add(task.name)
            self.tell(line)


def _scores(task: Task) -> str:
    """`: Set5 36.10, Set14 32.00` of a result that is there."""
    found = read_result(task)
    if found is None or not found.get("measures"):
        return ""
    scores = found["measures"][0]["scores"]
    return ": " + ", ".join(f"{name} {value['psnr_y']:.2f}" for name, value in scores.items() if value["psnr_y"] is not None)


def _threads(jobs: int) -> int:
    chosen = os.environ.get("OMP_NUM_THREADS", "")
    if chosen.isdigit() and int(chosen) > 0:
        return int(chosen)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // jobs)


def _file_time(folder: Path) -> float:
    """Now, on the clock of the folder's file server."""
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / f".now-{os.getpid()}"
    probe.touch()
    try:
        return probe.stat().st_mtime
    finally:
        probe.unlink()
