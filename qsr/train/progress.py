"""Progress for a person: a bar on a terminal, BasicSR-shaped lines everywhere else.

[quantsr_x2][epoch:  3, iter:   1,200, lr:(2.000e-04,)] [eta: 0:12:41, time (data): 0.043 (0.001)] l_pix: 1.9481e-02
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import Any

from qsr.train.journal import Journal


class Progress:
    """Context manager around the loop. `lines` receives every line of text; None: the terminal, with a bar if it is one.

    period: iterations between lines; epoch: samples per pass over the data divided by samples per iteration.
    """

    def __init__(
        self, name: str, total: int, period: int, epoch: float, lines: Callable[[str], None] | None = None, active: bool = True
    ) -> None:
        self.name, self.total, self.period, self.epoch = name, total, period, epoch
        self.journal: Journal | None = None
        self._bar: Any = _make_bar() if active and lines is None and sys.stdout.isatty() else None
        self._task: Any = None
        self._lines = lines
        self._window = [0, 0.0, 0.0]  # iterations, seconds in them, seconds waited for data
        self._last = time.perf_counter()
        self._psnr = "-"
        self._smooth: dict[str, float] = {}

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task(self.name, total=self.total, loss="-", psnr="-", rate="-", wait="-")
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, traceback: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def print(self, line: str) -> None:
        """One line of text, above the bar if there is one."""
        if self._lines is not None:
            self._lines(line)
        elif self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False)
        else:
            _print(line)

    def restart_clock(self) -> None:
        """Validation and saving do not count as training time."""
        self._last = time.perf_counter()

    def validated(self, psnr: float) -> None:
        self._psnr = f"{psnr:.2f}"

    def step(self, iteration: int, lr: float, numbers: dict[str, float] | None, wait: float) -> None:
        """Account for one iteration; every `period` iterations write a line and a row of metrics.jsonl."""
        now = time.perf_counter()
        seconds, self._last = now - self._last, now
        self._window = [self._window[0] + 1, self._window[1] + seconds, self._window[2] + wait]
        if iteration % self.period == 0 and numbers is not None and self.journal is not None:
            self._report(self.journal, iteration, lr, numbers)
        if self._bar is not None:
            self._update_bar(iteration, numbers, seconds, wait)

    def _report(self, journal: Journal, iteration: int, lr: float, numbers: dict[str, float]) -> None:
        count, seconds, waited = self._window
        per_step, data = seconds / count, waited / count
        self._window = [0, 0.0, 0.0]
        eta = timedelta(seconds=round(per_step * (self.total - iteration)))
        losses = " ".join(f"{name}: {value:.4e}" for name, value in numbers.items())
        line = (
            f"[{self.name}][epoch:{int(iteration / self.epoch):3d}, iter:{iteration:8,d}, lr:({lr:.3e},)] "
            f"[eta: {eta}, time (data): {per_step:.3f} ({data:.3f})] {losses}"
        )
        journal.note(line)
        if self._bar is None and journal.active:
            self.print(line)
        journal.row(iteration, {"lr": lr, **numbers, "time": round(per_step, 6), "data_wait": round(data, 6)})

    def _update_bar(self, iteration: int, numbers: dict[str, float] | None, seconds: float, wait: float) -> None:
        losses = [value for name, value in (numbers or {}).items() if name != "grad_norm"]
        latest = {"seconds": seconds, "wait": wait, **({"loss": sum(losses)} if losses else {})}
        self._smooth |= {name: 0.95 * self._smooth.get(name, value) + 0.05 * value for name, value in latest.items()}
        self._bar.update(
            self._task,
            completed=iteration,
            loss=f"{self._smooth.get('loss', 0.0):.4f}",
            psnr=self._psnr,
            rate=f"{1 / max(self._smooth['seconds'], 1e-9):.1f}",
            wait=f"{1000 * self._smooth['wait']:.1f}",
        )


def _print(line: str) -> None:
    """To stdout, where that takes it. Its disk may be full, its reader gone, its encoding poorer than a path's letters: none
    of it ends a training, and train.log has the line as well."""
    try:
        print(line, flush=True)
    except UnicodeEncodeError:
        encoding = sys.stdout.encoding or "ascii"
        print(line.encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except OSError:
        return


def _make_bar() -> Any:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    return Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]} it/s"),
        TimeRemainingColumn(),
        TextColumn("loss {task.fields[loss]}  PSNR {task.fields[psnr]} dB  data {task.fields[wait]} ms"),
    )
