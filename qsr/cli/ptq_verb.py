"""`qsr ptq`: a quantized network from a full-precision one, without training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer


def command(
    checkpoint: Annotated[Path, typer.Argument(help="Full-precision experiment, model file or BasicSR checkpoint.")],
    calibration: Annotated[Path, typer.Option(help="Folder of HR pictures; training pictures, never a test set.")],
    opt: Annotated[Path | None, typer.Option("-opt", "--opt", help="Option file whose `quant` section counts.")] = None,
    w_bits: Annotated[int | None, typer.Option("--w-bits", help="Weight bits, 2 to 8.")] = None,
    a_bits: Annotated[int | None, typer.Option("--a-bits", help="Activation bits, 2 to 8.")] = None,
    method: Annotated[str, typer.Option(help="minmax, percentile, mse or 2dquant.")] = "2dquant",
    rounding: Annotated[bool, typer.Option("--rounding", help="Also learn which weights are rounded up.")] = False,
    rules: Annotated[Path | None, typer.Option(help="Bits by layer, as `qsr allocate` writes them.")] = None,
    quantizer: Annotated[str | None, typer.Option(help="lsq, lsq_plus (activations with an offset) or rlq.")] = None,
    patches: Annotated[int, typer.Option(help="Calibration patches.")] = 64,
    side: Annotated[int, typer.Option(help="Their side in LR pixels.")] = 32,
    percent: Annotated[float, typer.Option(help="Method percentile: what stays inside at each end.")] = 99.9,
    iterations: Annotated[int, typer.Option(help="Method 2dquant: iterations of distillation.")] = 100,
    rounding_iterations: Annotated[int, typer.Option(help="Iterations of each block with --rounding.")] = 100,
    seed: Annotated[int, typer.Option(help="Decides the patches.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "cpu",
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Model file (*.safetensors) or experiment folder to write.")
    ] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Override a key of the option file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Quantize a full-precision network in minutes: step sizes from pictures, no training."""
    import json

    from qsr.cli.console import open_console
    from qsr.ptq.run import Method, Ptq, ptq
    from qsr.ptq.source import Wanted

    console = open_console()
    wanted = Wanted(w_bits, a_bits, opt, rules, tuple(settings or ()), quantizer)
    how = Ptq(
        cast(Method, method),
        rounding,
        patches=patches,
        side=side,
        percent=percent,
        iterations=iterations,
        rounding_iterations=rounding_iterations,
        seed=seed,
    )

    def tell(line: str) -> None:
        if not as_json:
            console.print(line, markup=False, soft_wrap=True)

    outcome = ptq(checkpoint, calibration, wanted, how, out, device, tell)
    if as_json:
        typer.echo(json.dumps(outcome.to_json(), indent=1))
        return
    tell(f"{outcome.seconds / 60:.1f} minutes ({outcome.cpu_seconds / 60:.1f} of processor time)")
    tell(f"calibration patches: {outcome.before.psnr_y:.2f} dB in full precision, {outcome.after.psnr_y:.2f} dB quantized")
    tell(f"written  {outcome.path}")
    tell(f"try next: qsr test --model {outcome.path}")
