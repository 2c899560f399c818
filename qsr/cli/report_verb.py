"""`qsr report`: the page of a leaderboard."""

from __future__ import annotations

from pathlib import Path

import typer


def command(
    source: Path = typer.Argument(help="leaderboard.json, or the folder that holds it."),
    out: Path | None = typer.Option(None, "-o", "--out", help="File to write; left out: leaderboard.html beside the source."),
) -> None:
    """Write one self-contained HTML page: table, order, costs, curves, pictures, layers and commands."""
    from qsr.report.page import write_page

    written = write_page(source, out)
    typer.echo(f"wrote {written} ({written.stat().st_size / 1e6:.1f} MB)")
