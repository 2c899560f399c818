from __future__ import annotations

import pytest

from qsr.cli.console import PIPED_WIDTH, open_console


def test_piped_output_is_wide(capsys: pytest.CaptureFixture[str]) -> None:
    open_console().print("x" * PIPED_WIDTH)
    assert capsys.readouterr().out == "x" * PIPED_WIDTH + "\n"


def test_a_terminal_keeps_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("LINES", "20")
    assert open_console().width == 60
