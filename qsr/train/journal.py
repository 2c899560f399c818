"""What a run writes down besides checkpoints: `train.log` for people, `metrics.jsonl` for programs.

A log that cannot be written never ends a run: it is said once, on the terminal.
"""

from __future__ import annotations

import json
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
        """Drop rows after `iteration`: a resumed run writes them again, and each iteration is to be there once."""
        path = self.folder / "metrics.jsonl"
        if not (self.active and path.exists()):
            return
        kept = []
        for line in path.read_text().splitlines(keepends=True):
            # a line without its end was being written when the process died
            if line.endswith("\n") and json.loads(line)["iter"] <= iteration:
                kept.append(line)
        write_atomic(path, "".join(kept).encode())

    def _append(self, name: str, text: str) -> None:
        if not self.active:
            return
        try:
            with open(self.folder / name, "a", encoding="utf-8") as handle:
                handle.write(text)
        except OSError as fault:
            if not self._complained:
                self._complained = True
                self.terminal(f"ERROR: {self.folder / name}: cannot write ({fault.strerror}); training goes on")
