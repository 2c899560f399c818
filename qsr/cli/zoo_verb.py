"""`qsr zoo list|get|add`: the small models that come with qsr."""

from __future__ import annotations

from pathlib import Path

import typer

command = typer.Typer(help="List, fetch and add released models.", no_args_is_help=True)


@command.command("list")
def list_command(
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
    folder: Path | None = typer.Option(None, "--zoo", help="Folder with an index.json; left out: the one that came with qsr."),
) -> None:
    """Print every released model: size, cost, PSNR and what it is above bicubic."""
    import json

    from qsr.cli.console import open_console
    from qsr.zoo.card import terminal
    from qsr.zoo.index import read_index

    models = read_index(folder)
    if as_json:
        typer.echo(json.dumps([model.to_json() for model in models]))
    else:
        open_console().print(terminal(models))


@command.command("get")
def get_command(
    name: str = typer.Argument(help="Name, as `qsr zoo list` prints it."),
    out: Path | None = typer.Option(
        None, "-o", "--out", help="Copy it to this file or folder; left out: only say where it is."
    ),
    packed: bool = typer.Option(False, "--packed", help="The packed file, which runs without PyTorch, not the trained one."),
    folder: Path | None = typer.Option(None, "--zoo", help="Folder with an index.json; left out: the one that came with qsr."),
) -> None:
    """Check a model file against its checksum and print its path. Nothing is downloaded."""
    from qsr.zoo.index import get

    typer.echo(get(name, out, folder, packed=packed))


@command.command("add")
def add_command(
    model: Path = typer.Argument(help="Experiment folder or model file."),
    name: str = typer.Option(..., "--name", help="What it shall be called: small letters, digits, _ . -"),
    results: Path | None = typer.Option(None, help="metrics.json that `qsr test` wrote for this model."),
    bicubic: Path | None = typer.Option(None, help="metrics.json of `qsr test --bicubic`."),
    data: str | None = typer.Option(None, help="Name of the training set; left out: recognised by its folder."),
    recipe: list[str] = typer.Option([], help="One line about the training that the options do not say; may be repeated."),
    note: str = typer.Option("", help="One sentence for the card."),
    measure: bool = typer.Option(True, help="Measure milliseconds on this machine."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace a model of this name."),
    folder: Path | None = typer.Option(None, "--zoo", help="Folder to add to; left out: experiments/zoo of the clone."),
) -> None:
    """Release an experiment's network: file, card and entry of the index."""
    from qsr.zoo.add import About, add
    from qsr.zoo.index import CLONE

    about = About(results, bicubic, data, tuple(recipe), note, measure)
    added = add(model, name, folder or CLONE, about, overwrite=overwrite)
    typer.echo(f"added {added.name}: {added.bytes:,} bytes, sha256 {added.sha256}")
