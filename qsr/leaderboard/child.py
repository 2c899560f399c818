"""Starting a task in a process of its own, watching it, and reading from its log what it died of."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import qsr
from qsr.files import write_atomic
from qsr.leaderboard.work import BUSY, LOST, Job, write_result

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
STOPPED = 5  # exit code of a run that was asked to stop and has saved


@dataclass(frozen=True)
class Ended:
    """How a task's process ended. why: one line, empty when it is done."""

    state: Literal["done", "failed", "stopped", "busy"]
    why: str = ""


class Child:
    """The process of one task. It stops by itself, after saving, when this object's process is gone."""

    def __init__(self, job: Job, threads: int) -> None:
        self.job = job
        self.log = job.task.out / "logs" / f"{job.task.name}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        file = job.task.out / "jobs" / f"{job.task.name}.json"
        write_atomic(file, json.dumps(job.to_json(), indent=1).encode())
        home = str(Path(qsr.__file__).parents[1])
        path = os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads)), "PYTHONPATH": path}
        with open(self.log, "ab") as log:
            self._begin = log.tell()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "qsr.leaderboard.work", str(file)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                # Ctrl-C is for the starter, which then asks its children to stop
                start_new_session=True,
            )

    def ended(self) -> Ended | None:
        """None while it runs; a failure is also stored as the task's result."""
        code = self.process.poll()
        if code is None:
            return None
        state: dict[int, Literal["done", "stopped", "busy"]] = {0: "done", STOPPED: "stopped", BUSY: "busy", LOST: "busy"}
        if code in state:
            return Ended(state[code], "" if code == 0 else self._last_line())
        if code == -signal.SIGTERM:
            return Ended("stopped", "stopped before it could save")
        why = f"killed by {signal.Signals(-code).name}" if code < 0 else self._last_line() or f"exit code {code}"
        write_result(self.job, self.job.identity, {"status": "failed", "why": why})
        return Ended("failed", why)

    def stop(self) -> None:
        """Ask it to save and stop."""
        if self.process.stdin is not None:
            self.process.stdin.close()

    def wait(self) -> Ended:
        self.process.wait()
        ended = self.ended()
        assert ended is not None
        return ended

    def _last_line(self) -> str:
        """The last line that says something, of what this process wrote."""
        with open(self.log, "rb") as log:
            log.seek(self._begin)
            lines = [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()]
        return lines[-1].removeprefix("qsr: ") if lines else ""
