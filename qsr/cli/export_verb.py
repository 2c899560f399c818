"""`qsr export`: a trained network into the file that is shipped."""

from __future__ import annotations

from pathlib import Path

import typer


def command(
    model: Path = typer.Argument(help="Experiment folder or model file (*.safetensors)."),
    packed: bool = typer.Option(False, "--packed", help="Weights as codes of 2 to 8 bits (docs/format.md)."),
    out: Path | None = typer.Option(None, "-o", "--out", help="File to write; left out: NAME.qsr beside the model file."),
    depth: int | None = typer.Option(None, "--depth", help="Only this depth of a depth-dynamic network."),
    pictures: Path | None = typer.Option(None, "--verify", help="LR picture or folder: compare the file with the network."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Write a packed file, whose bytes are the bits, and prove that it holds the trained network."""
    import json

    from qsr.errors import OptionsError
    from qsr.export.command import export_packed

    if not packed:
        raise OptionsError("say what to export: --packed is available", hint=f"qsr export {model} --packed")
    outcome = export_packed(model, out, depth, pictures)
    typer.echo(json.dumps(outcome.to_json()) if as_json else outcome.text())
    outcome.check()
