"""`qsr sensitivity`: what each layer loses at which bits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer


def command(
    checkpoint: Annotated[Path, typer.Argument(help="Full-precision experiment or model file.", metavar="EXP")],
    calibration: Annotated[Path, typer.Option(help="Folder of HR pictures; training pictures, never a test set.")],
    bits: Annotated[str, typer.Option(help="Widths to try, by comma.")] = "2,4,8",
    sides: Annotated[
        str, typer.Option(help="both: weight and input to the same width; separate: each alone (twice the time).")
    ] = "both",
    opt: Annotated[Path | None, typer.Option("-opt", "--opt", help="Option file whose `quant` section counts.")] = None,
    quantizer: Annotated[str | None, typer.Option(help="lsq, lsq_plus (activations with an offset) or rlq.")] = None,
    patches: Annotated[int, typer.Option(help="Calibration patches.")] = 32,
    side: Annotated[int, typer.Option(help="Their side in LR pixels.")] = 32,
    seed: Annotated[int, typer.Option(help="Decides the patches.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "cpu",
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Folder to write; default: results/NAME_sensitivity.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Override a key of the option file.")] = None,
    plot: Annotated[bool, typer.Option("--plot/--no-plot", help="Draw the bar chart (needs matplotlib).")] = True,
) -> None:
    """Quantize one layer at a time: table (CSV, JSON) and bar chart of the PSNR that is lost."""
    import json

    from rich.table import Table

    from qsr.archs.modelfile import read_info
    from qsr.cli.console import open_console
    from qsr.errors import OptionsError
    from qsr.files import write_atomic
    from qsr.ptq.run import Ptq
    from qsr.ptq.sensitivity import Sides, measure
    from qsr.ptq.source import Wanted

    if sides not in ("both", "separate"):
        raise OptionsError(f"found {sides!r}, expected both or separate", where="--sides")
    try:
        widths = [int(part) for part in bits.split(",")]
    except ValueError as fault:
        raise OptionsError(f"found {bits!r}, expected numbers by comma", where="--bits") from fault
    folder = out or Path("results") / f"{read_info(checkpoint).options['name']}_sensitivity"
    console = open_console()
    wanted = Wanted(opt=opt, settings=tuple(settings or ()), quantizer=quantizer)
    how = Ptq("mse", patches=patches, side=side, seed=seed)
    with console.status("") as status:
        found = measure(checkpoint, calibration, widths, wanted, how, cast(Sides, sides), device, notify=status.update)
    table = Table("layer", "w", "a", "PSNR_Y", "lost dB", "output error", box=None)
    for row in found.rows:
        numbers = (f"{row.psnr_y:.2f}", f"{row.psnr_lost:.3f}", f"{row.error:.3f}")
        table.add_row(row.layer, str(row.w_bits), str(row.a_bits), *numbers)
    for column in table.columns[1:]:
        column.justify = "right"
    console.print(table)
    console.print(f"{found.psnr_y:.2f} dB in full precision on {found.patches} patches of {found.calibration}")
    written = {"sensitivity.json": json.dumps(found.to_json(), indent=1).encode(), "sensitivity.csv": found.to_csv().encode()}
    if plot:
        from qsr.ptq.chart import draw

        written["sensitivity.png"] = draw(found)
    for name, content in written.items():
        write_atomic(folder / name, content)
    console.print("written  " + ", ".join(str(folder / name) for name in written), soft_wrap=True)
    console.print(
        f"try next: qsr allocate {checkpoint} --sensitivity {folder / 'sensitivity.json'} --like w4a4", soft_wrap=True
    )
