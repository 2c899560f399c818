"""`qsr doctor`: can this installation, on this machine and this disk, be trusted?"""

from __future__ import annotations

from pathlib import Path

import typer

COLOURS = {"ok": typer.colors.GREEN, "warn": typer.colors.YELLOW, "fail": typer.colors.RED, "skip": typer.colors.BRIGHT_BLACK}


def command(
    only: str = typer.Option("", "--only", help="NAME,...: these checks alone."),
    quick: bool = typer.Option(False, "--quick", help="Without the training that is killed and resumed."),
    experiments: Path = typer.Option(Path("experiments"), "--experiments", help="Folder whose disk is looked at."),
    as_json: bool = typer.Option(False, "--json", help="Everything as JSON."),
) -> None:
    """Check packages, kernels, metrics, decoders, disk, and that a killed training resumes; one line each, 40 s at most.

    Exit code 0, or 6 if a check failed. Works without PyTorch: what only training needs is skipped then.
    """
    import json

    from qsr.doctor.registry import select
    from qsr.doctor.run import Result, examine
    from qsr.doctor.text import line, summary

    def show(result: Result) -> None:
        status, _, rest = line(result).partition(" ")
        typer.echo(typer.style(status, fg=COLOURS[status]) + f" {rest}")

    checks = select([name.strip() for name in only.split(",") if name.strip()], quick)
    report = examine(checks, experiments, None if as_json else show)
    typer.echo(json.dumps(report.to_json(), indent=1) if as_json else summary(report))
    raise typer.Exit(report.exit_code)
