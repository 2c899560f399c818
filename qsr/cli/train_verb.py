"""`qsr train`: one option file in, an experiment folder out."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Launcher(StrEnum):
    none = "none"
    pytorch = "pytorch"


def command(
    opt: Annotated[Path, typer.Option("-opt", "--opt", help="Option file (YAML).")],
    auto_resume: Annotated[
        bool, typer.Option("--auto_resume", "--auto-resume", help="Continue from the newest checkpoint.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Throw an existing experiment away, start again.")] = False,
    launcher: Annotated[Launcher, typer.Option(help="pytorch: insist on torchrun (found by itself).")] = Launcher.none,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Override a key, e.g. quant.w_bits=4.")] = None,
    force_yml: Annotated[
        list[str] | None, typer.Option("--force_yml", help="The same in BasicSR's spelling, e.g. quant:w_bits=4.")
    ] = None,
    local_rank: Annotated[int | None, typer.Option("--local-rank", "--local_rank", hidden=True)] = None,
) -> None:
    """Train a network: full-precision stage, quantization, checkpoints, validation, all as the option file says."""
    from qsr.cli.console import open_console
    from qsr.options import load
    from qsr.options.files_exist import check_files

    console = open_console()
    resolved = load(opt, (*(settings or ()), *(force_yml or ())))
    if resolved.ignored:
        console.print("\n".join(str(key) for key in resolved.ignored), markup=False)
    check_files(resolved, ("train", "val"))

    from qsr.train.run import train

    outcome = train(resolved.options, auto_resume=auto_resume, overwrite=overwrite, launcher=launcher.value)
    console.print(f"done: {outcome.iteration:,} iterations")
    console.print(f"  network    {outcome.folder / 'models' / 'net_g_latest.safetensors'}")
    console.print(f"  log        {outcome.folder / 'train.log'}, {outcome.folder / 'metrics.jsonl'}")
    console.print(f"try next: qsr test {outcome.folder}")
