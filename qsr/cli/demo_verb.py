"""`qsr demo`: a small real training run on photographs that are already on the machine, measured and shown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    opt: Annotated[Path | None, typer.Option("-opt", "--opt", help="Another option file than options/demo.yml.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Override a key, e.g. train.total_iter=200.")] = None,
) -> None:
    """Train, evaluate, pack, look and time: five minutes on two cores, no download."""
    from qsr.bench.run import Settings, bench
    from qsr.bench.text import sentence
    from qsr.cli.console import open_console
    from qsr.options.ready import ready_file
    from qsr.report.tables import small_table
    from qsr.train.demo import run_demo

    console = open_console()
    result = run_demo(opt or ready_file("demo.yml"), tuple(settings or ()), say=console.print)
    console.print(small_table({"bicubic": result.bicubic, "ours": result.ours}))
    verdict = "above" if result.gain >= 0 else "below"
    console.print(f"The quantized network is {abs(result.gain):.2f} dB {verdict} bicubic on pictures that it never saw.")
    packed = result.exported
    speed = bench(packed.path, Settings(against=("torch",), seconds=5.0))
    console.print(
        f"Packed file         {packed.path}: {packed.sizes.file:,} bytes; the float model file has {packed.model_bytes:,}\n"
        f"Speed               {sentence(speed)}\n"
        f"Upscaled picture    {result.picture}\n"
        f"Zoomed comparison   {result.crops}\n"
        "Try next\n"
        f"  qsr info {result.experiment}\n"
        "      what the model file knows about itself\n"
        f"  qsr complexity {result.experiment}\n"
        "      parameters and operations, layer by layer\n"
        "  qsr data list\n"
        "      the picture sets, where they come from, and how `qsr data add` lays them out\n"
        "  qsr train -opt options/quantsr_x4_w2a2.yml\n"
        "      the paper's network, once DIV2K is there",
        soft_wrap=True,
    )
