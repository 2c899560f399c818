"""`qsr allocate`: bits for each layer under a budget."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    target: Annotated[Path, typer.Argument(help="Experiment or model file.", metavar="EXP")],
    sensitivity: Annotated[Path, typer.Option(help="Table of `qsr sensitivity` (sensitivity.json).")],
    params_max: Annotated[str | None, typer.Option("--params-max", help="At most so many 32-bit parameters, e.g. 60K.")] = None,
    ops_max: Annotated[str | None, typer.Option("--ops-max", help="At most so many operations, e.g. 20G.")] = None,
    ms_max: Annotated[
        str | None, typer.Option("--ms-max", help="At most so many milliseconds, as --ms-table has them.")
    ] = None,
    ms_table: Annotated[Path | None, typer.Option("--ms-table", help="JSON of measured milliseconds (docs/ptq.md).")] = None,
    like: Annotated[str | None, typer.Option(help="At most the parameters and operations of uniform bits, e.g. w4a4.")] = None,
    size: Annotated[str | None, typer.Option(help="LR input, WIDTHxHEIGHT; default: that of a 1280x720 output.")] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="YAML file with the rules.")] = Path("allocation.yml"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Choose bits per layer, proven best for the table, and write rules for `train` (by `base:`) and `ptq --rules`."""
    import json
    import re

    from rich.table import Table

    from qsr.archs.modelfile import read_info
    from qsr.cli.console import open_console
    from qsr.errors import FormatError, OptionsError
    from qsr.files import write_atomic
    from qsr.jsonfile import read_json
    from qsr.options import from_json
    from qsr.ptq.allocate import Budget, allocate, uniform_budget
    from qsr.ptq.sensitivity import Sensitivity
    from qsr.quantities import amount, picture_size

    def read(path: Path) -> dict:
        try:
            return read_json(path)
        except (OSError, ValueError) as fault:
            raise FormatError(f"not a readable JSON file: {fault}", where=str(path)) from fault

    options = from_json(read_info(target).options)
    found = Sensitivity.from_json(read(sensitivity), str(sensitivity))
    width, height = picture_size(size) if size else (None, None)
    given = {"params": ("--params-max", params_max), "ops": ("--ops-max", ops_max), "ms": ("--ms-max", ms_max)}
    limits = {name: amount(text, option) for name, (option, text) in given.items() if text is not None}
    if like is not None:
        match = re.fullmatch(r"w(\d+)a(\d+)", like)
        if match is None:
            raise OptionsError(f"found {like!r}, expected for instance w4a4", where="--like")
        uniform = uniform_budget(options, found, (int(match[1]), int(match[2])), height, width)
        limits = {"params": uniform.params, "ops": uniform.ops, **limits}
    if not limits:
        raise OptionsError("no budget: give --params-max, --ops-max, --ms-max or --like")
    table_ms = read(ms_table) if ms_table is not None else None
    chosen = allocate(options, found, Budget(**limits), table_ms, height, width)
    write_atomic(out, chosen.to_yaml().encode())
    if as_json:
        typer.echo(json.dumps(chosen.to_json(), indent=1))
        return
    console = open_console()
    table = Table("layer", "w", "a", "output error", box=None)
    for row in chosen.rows:
        table.add_row(row.layer, str(row.w_bits), str(row.a_bits), f"{row.error:.3f}")
    for column in table.columns[1:]:
        column.justify = "right"
    console.print(table)
    ms = f", {chosen.ms:.2f} ms" if chosen.ms is not None else ""
    console.print(f"{chosen.params_k:.2f} K params, {chosen.ops_g:.3f} G ops{ms}")
    console.print(f"  {chosen.average_w:.2f} bits per weight, {chosen.average_a:.2f} per activation (mean over MACs)")
    console.print(f"  output error {chosen.error:.3f}; no allocation in this budget is below {chosen.bound:.3f}")
    console.print(f"written  {out}", soft_wrap=True)
    console.print(
        f"try next: qsr ptq {target} --rules {out} ..., or `base: [..., {out.name}]` in an option file", soft_wrap=True
    )
