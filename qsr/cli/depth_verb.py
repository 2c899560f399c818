"""`qsr depth`: the deepest sub-network that fits a budget."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    target: Annotated[Path, typer.Argument(help="Experiment or model file trained with depth.dqa.", metavar="EXP")],
    params_max: Annotated[
        str | None, typer.Option("--params-max", help="At most so many 32-bit parameters, e.g. 250K.")
    ] = None,
    ops_max: Annotated[str | None, typer.Option("--ops-max", help="At most so many operations, e.g. 20G.")] = None,
    ms_max: Annotated[
        str | None, typer.Option("--ms-max", help="At most so many milliseconds in torch, on this machine.")
    ] = None,
    size: Annotated[str | None, typer.Option(help="LR input, WIDTHxHEIGHT; default: that of a 1280x720 output.")] = None,
    measure: Annotated[bool, typer.Option("--measure", help="Measure milliseconds without limiting them.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show every depth of a depth-dynamic network and pick the deepest that fits (exit 2 if none does)."""
    from rich.table import Table

    from qsr.cli.console import open_console
    from qsr.errors import OptionsError
    from qsr.evaluate.complexity_depth import Budget, choose
    from qsr.quantities import amount, picture_size

    given = {"params": ("--params-max", params_max), "ops": ("--ops-max", ops_max), "ms": ("--ms-max", ms_max)}
    budget = Budget(**{name: amount(text, option) for name, (option, text) in given.items() if text is not None})
    width, height = picture_size(size) if size else (None, None)
    choice = choose(target, budget, height, width, measure)
    if as_json:
        import json

        typer.echo(json.dumps(choice.to_json(), indent=1))
    else:
        console = open_console()
        table = Table("depth", "params K", "ops G", "ms", "fits")
        for row in choice.rows:
            ms = "-" if row.ms is None else f"{row.ms:.1f}"
            table.add_row(str(row.depth), f"{row.params_k:.1f}", f"{row.ops_g:.2f}", ms, "yes" if row.fits else "no")
        console.print(table)
        console.print(f"counted in {choice.input}", soft_wrap=True)
        if choice.rows[0].ms is not None:
            console.print(f"milliseconds: one image in torch (quantizers simulated in float), {choice.threads} threads")
        if choice.chosen is not None:
            console.print(f"depth {choice.chosen} fits: qsr test {target} --depth {choice.chosen}", soft_wrap=True)
    if choice.chosen is None:
        last = choice.rows[-1]
        raise OptionsError(
            f"no depth fits; the smallest, {last.depth}, has {last.params_k:.1f}K params and {last.ops_g:.2f}G ops"
            + (f", {last.ms:.1f} ms" if last.ms is not None else ""),
            where=str(target),
        )
