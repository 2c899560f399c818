"""`qsr export`: a trained network into the file that is shipped."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def command(
    model: Annotated[Path, typer.Argument(help="Experiment folder or model file (*.safetensors).")],
    packed: Annotated[bool, typer.Option("--packed", help="Operations and weights at their bits (docs/format.md).")] = False,
    onnx: Annotated[bool, typer.Option("--onnx", help="ONNX of any size, for other engines; takes a .qsr file too.")] = False,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="File to write; default: NAME.qsr beside the model file.")
    ] = None,
    depth: Annotated[int | None, typer.Option(help="Only this depth of a depth-dynamic network.")] = None,
    tail: Annotated[
        Literal["fp32", "fp16", "int8", "w4a8", "w4a4"],
        typer.Option(help="Head and tail in floats, or the tail in codes (no training)."),
    ] = "fp32",
    floats: Annotated[Literal["fp32", "fp16"], typer.Option("--float", help="Storage of full-precision weights.")] = "fp32",
    pictures: Annotated[
        Path | None, typer.Option("--verify", help="LR picture or folder: compare the file with the network.")
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option(help="HR pictures for a tail in codes and for cadyq; default: scikit-image's photographs.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write a packed file, whose bytes are the bits, and prove that it holds the trained network; or an ONNX file."""
    import json

    from qsr.errors import OptionsError
    from qsr.export.command import Packing, export_packed

    if packed == onnx:
        raise OptionsError("say what to export: --packed or --onnx", hint=f"qsr export {model} --packed")
    if onnx:
        from qsr.export.onnx_command import export_onnx

        made = export_onnx(model, out, Packing(depth, floats, tail, calibration))
        typer.echo(json.dumps(made.to_json()) if as_json else made.text())
        return
    outcome = export_packed(model, out, Packing(depth, floats, tail, calibration, pictures))
    typer.echo(json.dumps(outcome.to_json()) if as_json else outcome.text())
    outcome.check()
