"""`qsr report` as typed."""

from __future__ import annotations

import json
from pathlib import Path

import typer
from typer.testing import CliRunner

from qsr.cli.report_verb import command
from qsr.errors import DataError

app = typer.Typer()
app.command()(command)

BOARD = {"format": 1, "name": "tiny", "scale": 2, "sets": ["Set5"], "rows": [{"row": "a"}]}


def test_a_page_is_written_and_named(tmp_path: Path) -> None:
    source = tmp_path / "leaderboard.json"
    source.write_text(json.dumps(BOARD))
    for arguments, target in (
        ([str(tmp_path)], tmp_path / "leaderboard.html"),
        ([str(source), "-o", str(tmp_path / "p.html")], tmp_path / "p.html"),
    ):
        result = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert result.exit_code == 0
        assert result.stdout == f"wrote {target} (0.0 MB)\n"
        assert "<h1>tiny" in target.read_text()


def test_no_leaderboard(tmp_path: Path) -> None:
    assert isinstance(CliRunner().invoke(app, [str(tmp_path)]).exception, DataError)
