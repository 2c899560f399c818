"""`qsr demo`: a small real training run on photographs that are already on the machine, measured and shown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    opt: Annotated[Path | None, typer.Option("-opt", "--opt", help="Another option file than options/demo.yml.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Override a key, e.g. train.total_iter=200.")] = None,
) -> None:
    """Train, evaluate and look: five minutes on two cores, no download."""
    from rich.console import Console

    from qsr.options.ready import ready_file
    from qsr.report.tables import small_table
    from qsr.train.demo import run_demo

    console = Console()
    result = run_demo(opt or ready_file("demo.yml"), tuple(settings or ()), say=console.print)
    console.print(small_table({"bicubic": result.bicubic, "ours": result.ours}))
    verdict = "above" if result.gain >= 0 else "below"
    console.print(f"The quantized network is {abs(result.gain):.2f} dB {verdict} bicubic on pictures that it never saw.")
    console.print(f"Upscaled picture    {result.picture}")
    console.print(f"Zoomed comparison   {result.crops}")
    console.print(
        "Try next\n"
        f"  qsr info {result.experiment}                  what the model file knows about itself\n"
        f"  qsr complexity {result.experiment}            parameters and operations, layer by layer\n"
        "  qsr test --bicubic --sets Set5 --scale 2     the protocol on a benchmark set (put it below datasets/)\n"
        "  qsr train -opt options/quantsr_x4_w2a2.yml   the paper's network; `qsr data list` names the pictures it needs"
    )
