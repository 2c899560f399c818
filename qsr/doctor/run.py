"""The examination: every check in turn, in a worker process that is replaced when it dies."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import qsr
from qsr.doctor.check import STATUSES, Check, Finding, Status
from qsr.doctor.storage import sweep
from qsr.doctor.worker import Worker
from qsr.errors import EnvironmentFault

EXPERIMENTS = Path("experiments")  # as path.experiments_root of an option file


@dataclass(frozen=True)
class Result:
    check: Check
    finding: Finding
    seconds: float

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.check.name,
            "title": self.check.title,
            **asdict(self.finding),
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True)
class Report:
    """All results in their order; seconds: of the whole examination."""

    results: tuple[Result, ...]
    seconds: float

    @property
    def counts(self) -> dict[Status, int]:
        found = Counter(result.finding.status for result in self.results)
        return {status: found[status] for status in STATUSES}

    @property
    def verdict(self) -> Status:
        """The worst that was found, `ok` where everything was skipped."""
        return next((status for status in ("fail", "warn") if self.counts[status]), "ok")

    @property
    def exit_code(self) -> int:
        return EnvironmentFault.exit_code if self.counts["fail"] else 0

    def to_json(self) -> dict[str, Any]:
        return {
            "qsr": qsr.__version__,
            "verdict": self.verdict,
            "counts": self.counts,
            "seconds": round(self.seconds, 3),
            "checks": [result.to_json() for result in self.results],
        }


def examine(checks: Sequence[Check], folder: Path = EXPERIMENTS, hear: Callable[[Result], None] | None = None) -> Report:
    """Run `checks`; `hear` is called with each result as it comes. folder: experiments, whose disk is looked at.

    What the checks write goes into a folder of its own there and is removed again.
    """
    begin = time.monotonic()
    results = []
    with ExitStack() as held:
        held.callback(sweep, folder)
        shared: Worker | None = None
        for check in checks:
            start = time.monotonic()
            if check.alone:
                with Worker(one_thread=True) as own:
                    finding = own.ask(check, folder)
            else:
                if shared is None or not shared.alive:
                    shared = held.enter_context(Worker())
                finding = shared.ask(check, folder)
            results.append(Result(check, finding, time.monotonic() - start))
            if hear is not None:
                hear(results[-1])
    return Report(tuple(results), time.monotonic() - begin)
