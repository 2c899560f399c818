"""`qsr data`: check, prepare and find pictures. Every verb calls one function of qsr/data and prints what it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

command = typer.Typer(no_args_is_help=True, help="Check, prepare and find pictures.")

SCALE = typer.Option(..., "--scale", "-s", min=2, max=8, help="Super-resolution factor.")


@command.command("degrade")
def degrade(
    source: Path = typer.Argument(help="Folder of HR pictures."),
    target: Path = typer.Argument(help="Folder for the LR pictures (PNG)."),
    scale: int = SCALE,
    tmpl: str = typer.Option("{}x{scale}", "--tmpl", help="LR name from the HR name {} and {scale}."),
    float_mode: bool = typer.Option(False, "--float", help="Round once instead of after each axis (other toolkits)."),
) -> None:
    """Make LR pictures from HR by bicubic, exactly as MATLAB's imresize does."""
    from qsr.data.prepare import degrade_folder

    with _progress("degrade") as notify:
        count = degrade_folder(source, target, scale, tmpl=tmpl, mode="float" if float_mode else "matlab", notify=notify)
    typer.echo(f"{count} LR pictures written to {target}")


@command.command("subimages")
def subimages(
    source: Path = typer.Argument(help="Folder of pictures."),
    target: Path = typer.Argument(help="Folder for the pieces (PNG)."),
    crop: int = typer.Option(480, min=1, help="Side of a piece."),
    step: int = typer.Option(240, min=1, help="Distance between pieces."),
    smallest: int = typer.Option(0, min=0, help="Leave out a last row or column that adds no more than this many pixels."),
) -> None:
    """Cut large pictures into overlapping pieces, which training decodes many times faster."""
    from qsr.data.prepare import cut_subimages

    with _progress("subimages") as notify:
        count = cut_subimages(source, target, crop=crop, step=step, smallest=smallest, notify=notify)
    typer.echo(f"{count} pieces written to {target}")


@command.command("list")
def list_sets(
    data_root: Path | None = typer.Option(None, "--data-root", help="Where to look besides $QSR_DATA and ./datasets."),
    name: str | None = typer.Argument(None, help="Show the whole card of this set."),
) -> None:
    """Show the dataset cards: what each set is, and whether it is here."""
    from qsr.data.report import card_text, cards_table

    typer.echo(card_text(name) if name else cards_table(data_root))


@contextmanager
def _progress(title: str) -> Iterator[Callable[[int, int], None]]:
    # a bar for people; nothing at all when the output goes into a file
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
