"""Plain lines have BasicSR's shape; on a terminal there is a bar."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import pytest

from qsr.train.journal import Journal
from qsr.train.progress import Progress

LINE = re.compile(
    r"\[demo\]\[epoch:  2, iter:       4, lr:\(2\.000e-04,\)\] "
    r"\[eta: \d+:\d\d:\d\d, time \(data\): \d+\.\d{3} \(0\.250\)\] l_pix: 1\.2500e-01 grad_norm: 5\.0000e-01"
)


def report(progress: Progress, folder: Path) -> None:
    progress.journal = Journal(folder, progress.print)
    with progress:
        for iteration in range(1, 5):
            progress.step(iteration, 2e-4, {"l_pix": 0.125, "grad_norm": 0.5}, wait=0.25)


def test_lines_without_a_terminal(tmp_path: Path) -> None:
    lines: list[str] = []
    report(Progress("demo", total=8, period=2, epoch=2.0, lines=lines.append), tmp_path)
    assert len(lines) == 2
    assert LINE.fullmatch(lines[-1]), lines[-1]
    row = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    assert row.pop("time") >= 0
    assert row == {"iter": 4, "lr": 2e-4, "l_pix": 0.125, "grad_norm": 0.5, "data_wait": 0.25}


@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), BrokenPipeError(32, "Broken pipe")])
def test_a_terminal_that_is_full_or_gone_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: OSError) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise fault

    monkeypatch.setattr(sys, "stdout", Gone())
    report(Progress("demo", total=8, period=2, epoch=2.0), tmp_path)
    monkeypatch.undo()
    assert len((tmp_path / "train.log").read_text().splitlines()) == 2


def test_a_terminal_with_few_letters_shows_what_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = io.BytesIO()
    screen = io.TextIOWrapper(plain, encoding="ascii")
    monkeypatch.setattr(sys, "stdout", screen)
    Progress("demo", total=8, period=2, epoch=2.0).print("resumed übung")
    monkeypatch.undo()
    assert plain.getvalue() == b"resumed \\xfcbung\n"


def test_a_bar_on_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    screen.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    progress = Progress("demo", total=8, period=2, epoch=2.0)
    progress.validated(31.4)
    report(progress, tmp_path)
    shown = screen.getvalue()
    assert "4/8" in shown
    assert "loss 0.1250  PSNR 31.40 dB  data 250.0 ms" in shown
    assert "[epoch:" not in shown
    assert "[epoch:  2" in (tmp_path / "train.log").read_text()
