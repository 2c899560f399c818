"""What a run writes down besides checkpoints: `train.log` for people, `metrics.jsonl` for programs.

A log that cannot be written never ends a run: it is said once, on the terminal.
"""

from __future__ import annotations

import errno
import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qsr.files import write_atomic


class Journal:
    """say(line): terminal and train.log; row(facts): one JSON line with its iteration. Only rank 0 writes (`active`).

    scalars: receives the numbers of every row as well (TensorBoard), or None.
    """

    def __init__(self, folder: Path, terminal: Callable[[str], None], active: bool = True) -> None:
        self.folder = folder
        self.terminal = terminal
        self.active = active
        self.scalars: Callable[[int, dict[str, float]], None] | None = None
        self._complained = False

    def say(self, line: str, level: str = "INFO") -> None:
        if self.active:
            self.terminal(line if level == "INFO" else f"{level}: {line}")
            self.note(line, level)

    def note(self, line: str, level: str = "INFO") -> None:
        """train.log only."""
        self._append("train.log", f"{time.strftime('%Y-%m-%d %H:%M:%S')} {level}: {line}\n")

    def row(self, iteration: int, facts: dict[str, Any]) -> None:
        self._append("metrics.jsonl", json.dumps({"iter": iteration, **facts}) + "\n")
        if self.scalars is not None:
            self.scalars(iteration, {name: value for name, value in facts.items() if isinstance(value, float)})

    def rewind(self, iteration: int) -> None:
        """Drop rows after `iteration`: a resumed run writes them again, and each iteration is to be there once.

        What is no row goes, too: a crash can leave a part of one, or zeros where one was.
        """
        path = self.folder / "metrics.jsonl"
        if not (self.active and path.exists()):
            return
        lines = path.read_bytes().splitlines(keepends=True)
        write_atomic(path, b"".join(line for line in lines if _iteration(line) <= iteration))

    def _append(self, name: str, text: str) -> None:
        if not self.active:
            return
        try:
            _append_line(self.folder / name, text.encode(errors="backslashreplace"))
        except OSError as fault:
            if not self._complained:
                self._complained = True
                self.terminal(f"ERROR: {self.folder / name}: cannot write ({fault.strerror}); training goes on")


def _append_line(path: Path, line: bytes) -> None:
    """In one write, and all of it or nothing: half a line, on a disk that is full, would spoil the next one as well."""
    with open(path, "ab", buffering=0) as handle:
        before = handle.seek(0, os.SEEK_END)
        if handle.write(line) < len(line):
            handle.truncate(before)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _iteration(line: bytes) -> float:
    """The iteration of a row of metrics.jsonl; infinite for what is none."""
    try:
        row = json.loads(line) if line.endswith(b"\n") else {}
        return float(row["iter"])
    except (ValueError, KeyError, TypeError):
        return math.inf
