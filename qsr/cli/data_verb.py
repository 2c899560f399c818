"""`qsr data`: check, prepare and find pictures. Every verb calls one function of qsr/data and prints what it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import typer

command = typer.Typer(no_args_is_help=True, help="Check, prepare and find pictures.")

SCALE = typer.Option(..., "--scale", "-s", min=2, max=8, help="Super-resolution factor.")


@command.command("check")
def check(
    folder: Path = typer.Argument(help="A set (HR/ and LR folders inside), a folder of pictures, or an LMDB."),
    lr: Path | None = typer.Argument(None, help="Folder of its LR pictures, when it lies elsewhere."),
    scale: int | None = typer.Option(None, "--scale", "-s", min=2, max=8, help="Scale of the LR; left out: every scale found."),
    tmpl: str | None = typer.Option(None, "--tmpl", help="LR name from the HR name {}, for instance '{}x2'."),
    manifest: bool = typer.Option(True, help="Compare with manifest.json beside the pictures, or write it."),
) -> None:
    """Decode every picture strictly, compare pairs and names, and report all problems at once (exit code 3)."""
    from qsr.data.check import check_set

    with _progress("check") as notify:
        report = check_set(folder, lr, scale, tmpl=tmpl, manifest=manifest, notify=notify)
    for line in report.notes:
        typer.echo(f"note: {line}")
    report.raise_if_bad()
    pairs = f", {report.pairs} pairs" if report.pairs else ""
    typer.echo(f"{report.pictures} pictures{pairs}: no problems")
    for path in report.manifests:
        typer.echo(f"manifest written: {path}")


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


@command.command("lmdb")
def lmdb(
    source: Path = typer.Argument(help="Folder of pictures."),
    target: Path = typer.Argument(help="New LMDB folder; its name ends in .lmdb."),
    level: int = typer.Option(1, min=0, max=9, help="PNG compression inside."),
) -> None:
    """Pack a folder into an LMDB in BasicSR's layout."""
    from qsr.data.lmdb_writer import write_lmdb

    with _progress("lmdb") as notify:
        count = write_lmdb(source, target, level=level, notify=notify)
    typer.echo(f"{count} pictures in {target}")


@command.command("corrupt")
def corrupt(
    source: Path = typer.Argument(help="Folder of LR pictures."),
    out: Path = typer.Option(..., "-o", "--out", help="New folder; gets KIND/SEVERITY/NAME.png and corrupt.json."),
    kinds: str | None = typer.Option(None, help="Corruptions by comma; left out: all eleven."),
    severities: str = typer.Option("1,2,3,4,5", help="Severities by comma."),
    table: Literal["cifar", "imagenet"] = typer.Option("cifar", help="What a severity means; imagenet is for large pictures."),
    seed: int = typer.Option(0, min=0, help="Of the noise."),
) -> None:
    """Make noisy, blurred, recoloured and compressed LR pictures, the same on every machine."""
    from qsr.data.corrupt import KINDS
    from qsr.data.corrupt_folder import corrupt_folder
    from qsr.errors import OptionsError

    names = KINDS if kinds is None else [part.strip() for part in kinds.split(",") if part.strip()]
    try:
        numbers = [int(part) for part in severities.split(",")]
    except ValueError as fault:
        raise OptionsError(f"found {severities!r}, expected numbers from 1 to 5 by comma", where="--severities") from fault
    with _progress("corrupt") as notify:
        count = corrupt_folder(source, out, names, numbers, table=table, seed=seed, notify=notify)
    typer.echo(f"{count} pictures written to {out}")


@command.command("add")
def add(
    name: str = typer.Argument(help="Name or alias of a card (`qsr data list`), or a new name."),
    source: Path | None = typer.Option(None, "--from", help="Downloaded zip or tar, or a folder. Not needed for `photos`."),
    data_root: Path = typer.Option(Path("datasets"), "--data-root", help="Where sets are kept."),
) -> None:
    """Unpack a downloaded set, verify it against its card, and lay it out as NAME/HR and NAME/LR_bicubic/X2."""
    from qsr.data.add import add_photos, add_set
    from qsr.errors import OptionsError

    if source is None and name != "photos":
        raise OptionsError(f"where is {name}?", hint="--from ARCHIVE_OR_FOLDER; `qsr data list NAME` says where to get it")
    with _progress("add") as notify:
        added = add_photos(data_root) if source is None else add_set(name, source, data_root, notify)
    shipped = f", LR for {', '.join(f'x{s}' for s in added.lr_scales)}" if added.lr_scales else ""
    typer.echo(f"{added.pictures} pictures{shipped} in {added.folder}")
    for line in added.notes:
        typer.echo(f"note: {line}")


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
