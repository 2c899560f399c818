"""Doing a benchmark: trainings first, then what is measured of them; each skipped when it is there.

Trainings and robust cells run several at a time, over shards, or on a Ray cluster. Cells that are times come last, one after
the other in this process: a time taken beside other work means nothing.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from qsr import cluster
from qsr.bibench import cells as cells_of
from qsr.bibench import reuse
from qsr.bibench.cells import TIMED, Cell, Kind
from qsr.bibench.rows import GRID, Work
from qsr.bibench.spec import TRACKS, Track
from qsr.errors import OptionsError, QsrError
from qsr.leaderboard import ray_executor
from qsr.leaderboard import run as rows_run
from qsr.leaderboard.child import THREAD_VARIABLES
from qsr.leaderboard.lease import Lease
from qsr.leaderboard.plan import Plan, Task
from qsr.leaderboard.run import Session, Tell

KINDS: dict[Track, Kind] = {"robust": "robust", "train": "train", "infer": "infer"}
SIDE = Path("experiments/leaderboard")
"""Leaderboards whose results are looked at, beside those that are named."""


@dataclass(frozen=True)
class How:
    """jobs: at a time on this machine. ray: on a cluster instead, at `address`. reuse: folders of other results."""

    tracks: tuple[Track, ...] = TRACKS
    jobs: int = 1
    ray: bool = False
    address: str | None = None
    any_code: bool = False
    reuse: tuple[Path, ...] = ()
    patience: float = rows_run.PATIENCE_SECONDS


@dataclass
class Run:
    """A benchmark under way. sessions: of its leaderboards, by name. failed: what could not be done, and why."""

    work: Work
    how: How
    tell: Tell
    sessions: dict[str, Session] = field(init=False)
    failed: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sessions = {name: Session(plan, self.how.any_code) for name, plan in self.work.plans.items()}
        self._tasks = {str(task.folder): (session, task) for session in self.sessions.values() for task in session.plan.tasks}

    # --- what there is to do --------------------------------------------------------------------------------------------
    def cells(self) -> list[Cell]:
        """Those of the tracks asked for, robust ones first."""
        return [cell for track, kind in KINDS.items() if track in self.how.tracks for cell in cells_of.cells(self.work, kind)]

    def ready(self, cell: Cell) -> bool:
        """Whether the networks that it is about are trained."""
        found = [self._tasks[folder] for folder in (cell.model, cell.twin) if folder]
        return all(session.finished(task) for session, task in found)

    def status(self, cell: Cell) -> str:
        """done, missing or waiting (for its networks)."""
        if not self.ready(cell):
            return "waiting"
        return "done" if cells_of.finished(cell, self.how.any_code) else "missing"

    # --- doing it ---------------------------------------------------------------------------------------------------------
    def train(self) -> None:
        """All trainings that the tracks need (complexity needs none). Rows that say the same are trained once."""
        if set(self.how.tracks) == {"comp"}:
            return
        for name, session in self.sessions.items():
            if name == GRID and "train" not in self.how.tracks:
                continue
            mine = session.plan.mine
            reuse.take(session, mine, self._elsewhere(), self.tell)
            first, again = _distinct(session, mine)
            self._execute(Session(_with(session.plan, first), self.how.any_code), session)
            if again:
                reuse.take(session, again, (session.plan.out,), self.tell)
                self._execute(Session(_with(session.plan, again), self.how.any_code), session)

    def measure(self, only: Sequence[str] = ()) -> None:
        """All cells whose networks are there; only: patterns of `kind/name`, made anew although they may be there."""
        number, of = next(iter(self.work.plans.values())).shard if self.work.plans else (1, 1)
        chosen = [cell for place, cell in enumerate(self.cells()) if place % of == number - 1]
        if only:
            chosen = [cell for cell in self.cells() if any(fnmatchcase(cell.title, pattern) for pattern in only)]
            if not chosen:
                raise OptionsError(f"--cell {', '.join(only)}: no such cell", hint="`--dry-run` lists them")
        todo = [cell for cell in chosen if (only and self.ready(cell)) or self.status(cell) == "missing"]
        waiting = sum(not self.ready(cell) for cell in chosen)
        self.tell(f"{len(todo)} cells to measure" + (f", {waiting} wait for their networks" if waiting else ""))
        beside = [cell for cell in todo if cell.kind not in TIMED]
        if self.how.ray:
            self._on_cluster(beside)
        elif self.how.jobs > 1 and len(beside) > 1:
            self._in_processes(beside)
        else:
            self._one_by_one(beside)
        self._one_by_one([cell for cell in todo if cell.kind in TIMED])

    def _elsewhere(self) -> tuple[Path, ...]:
        return (self.work.out, *self.how.reuse, *((SIDE,) if SIDE.is_dir() else ()))

    def _execute(self, part: Session, whole: Session) -> None:
        if self.how.ray:
            ray_executor.execute(part, self.how.address, tell=self.tell)
        else:
            rows_run.execute(part, self.how.jobs, tell=self.tell, patience=self.how.patience)
        whole.outcome.update(part.outcome)
        failed = {name: ended.why for name, ended in part.outcome.items() if ended.state == "failed"}
        self.failed |= {f"{part.plan.out.name}/{name}": why for name, why in failed.items()}

    def _one_by_one(self, todo: Iterable[Cell]) -> None:
        for cell in todo:
            self._settle(cell, perform(cell.to_json(), cells_of.command(self.work, cell)))

    def _in_processes(self, todo: Sequence[Cell]) -> None:
        context = multiprocessing.get_context("spawn")
        threads = max(1, (os.cpu_count() or 1) // self.how.jobs)
        with ProcessPoolExecutor(self.how.jobs, context, initializer=_limit_threads, initargs=(threads,)) as pool:
            asked: dict[Future[str | None], Cell] = {
                pool.submit(perform, cell.to_json(), cells_of.command(self.work, cell)): cell for cell in todo
            }
            left = set(asked)
            while left:
                done, left = wait(left, return_when=FIRST_COMPLETED)
                for future in done:
                    fault = future.exception()
                    self._settle(asked[future], future.result() if fault is None else f"its process ended: {fault}")

    def _on_cluster(self, todo: Sequence[Cell]) -> None:
        if not todo:
            return
        ray = cluster.ray()
        cluster.connect(ray, self.how.address, None)
        try:
            remote = ray.remote(max_calls=1, max_retries=-1, num_cpus=1)(perform)
            asked = {remote.remote(cell.to_json(), cells_of.command(self.work, cell)): cell for cell in todo}
            left = list(asked)
            while left:
                ready, left = ray.wait(left, num_returns=1)
                self._settle(asked[ready[0]], _answer(ray, ready[0]))
        finally:
            ray.shutdown()

    def _settle(self, cell: Cell, why: str | None) -> None:
        if why:
            self.failed[cell.title] = why
        self.tell(f"{cell.title}: " + (f"failed: {why}" if why else "done"))


def perform(data: dict[str, Any], command: str) -> str | None:
    """In whatever process: one cell under its lease. None, or why it could not be measured."""
    cell = Cell.from_json(data)
    lease = Lease(cell.folder / "locks", cell.title.replace("/", "."))
    if not lease.acquire():
        return f"left to {lease.holder()}"
    with lease:
        try:
            cells_of.perform(cell, command)
        except QsrError as fault:
            return str(fault)
    return None


def _answer(ray: Any, reference: Any) -> str | None:
    try:
        answer: str | None = ray.get(reference)
    except ray.exceptions.RayError as fault:
        return f"Ray: {str(fault).strip().splitlines()[-1]}"
    return answer


def _limit_threads(threads: int) -> None:
    """In a process of the pool, before torch is imported there."""
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))


def _distinct(session: Session, tasks: Sequence[Task]) -> tuple[list[Task], list[Task]]:
    """(one task of each kind, those that are the same training under another name)."""
    seen: set[tuple[str, ...]] = set()
    first: list[Task] = []
    again: list[Task] = []
    for task in tasks:
        identity = session.jobs[task.name].identity
        mark = (identity.options, identity.data, identity.training)
        (again if mark in seen else first).append(task)
        seen.add(mark)
    return first, again


def _with(plan: Plan, tasks: Iterable[Task]) -> Plan:
    return replace(plan, chosen=frozenset(task.name for task in tasks))
