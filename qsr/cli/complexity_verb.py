"""`qsr complexity`: parameters and operations of a network, in the counting you ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer


def command(
    target: Annotated[Path | None, typer.Argument(help="Experiment or model file.", metavar="[EXP|FILE]")] = None,
    opt: Annotated[Path | None, typer.Option("-opt", "--opt", help="Option file instead: no training needed.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Override a key of the option file.")] = None,
    mode: Annotated[str, typer.Option(help="honest, deck-quantsr or deck-frb (the papers' tables).")] = "honest",
    depth: Annotated[int | None, typer.Option(help="Sub-network of a depth-dynamic network.")] = None,
    size: Annotated[str | None, typer.Option(help="LR input, WIDTHxHEIGHT; default depends on the mode.")] = None,
    per_layer: Annotated[bool, typer.Option("--per-layer", help="One row per layer.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Count parameters and operations of a trained network or of an option file."""
    from rich.table import Table

    from qsr.cli.console import open_console
    from qsr.errors import OptionsError
    from qsr.evaluate.complexity import Mode, complexity
    from qsr.evaluate.complexity_depth import described
    from qsr.options import load
    from qsr.quantities import picture_size

    if target is not None and opt is None:
        options, order = described(target)
    elif opt is not None and target is None:
        options, order = load(opt, settings or ()).options, None
    else:
        raise OptionsError("found no or two things to count, expected an experiment, a model file or -opt FILE")
    width, height = picture_size(size) if size else (None, None)
    report = complexity(options, cast(Mode, mode), depth, height, width, order)
    if as_json:
        import json

        typer.echo(json.dumps(report.to_json(), indent=1))
        return
    console = open_console()
    if per_layer:
        table = Table("layer", "kind", "w", "a", "parameters", "M MACs", "as counted: K params", "M ops", box=None)
        table.columns[0].no_wrap = True
        for layer in report.layers:
            own = f"{layer.weights + layer.other_params:,}"
            sizes = (own, f"{layer.macs / 1e6:,.1f}", f"{layer.params / 1e3:,.2f}", f"{layer.ops / 1e6:,.1f}")
            table.add_row(layer.name, layer.kind, str(layer.w_bits), str(layer.a_bits), *sizes)
        for column in table.columns[2:]:
            column.justify = "right"
        console.print(table)
    blocks = f", {report.depth} blocks" if report.depth else ""
    console.print(f"{options.name}{blocks}: {report.params_k:.1f} K params, {report.ops_g:.2f} G ops")
    console.print(f"  {report.parameters:,} parameters, {report.macs_g:.2f} G MACs, {report.bops_g:,.1f} G bit operations,")
    console.print(f"  {report.ops_b32_g:.2f} G ops if a MAC costs bits/32")
    console.print(f"  counted in {report.input}", soft_wrap=True)
