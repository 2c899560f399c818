"""`qsr report`: the page of a leaderboard, of a benchmark, or of the frontier of quality and time."""

from __future__ import annotations

from pathlib import Path

import typer


def command(
    source: Path = typer.Argument(
        help="leaderboard.json or bibench.json or its folder; or a frontier.json of benchmarks/frontier.py."
    ),
    out: Path | None = typer.Option(None, "-o", "--out", help="File to write; left out: an .html beside the source."),
) -> None:
    """Write one self-contained HTML page: table, order, costs, curves, pictures, layers and commands."""
    from qsr.report.bibench import is_bench, write_bench
    from qsr.report.frontier import is_frontier, write_frontier
    from qsr.report.page import write_page

    write = write_frontier if is_frontier(source) else write_bench if is_bench(source) else write_page
    written = write(source, out)
    typer.echo(f"wrote {written} ({written.stat().st_size / 1e6:.1f} MB)")
