"""`qsr test`: PSNR and SSIM on the benchmark sets, beside the published numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

RESULTS = Path("results")


def command(
    target: Annotated[Path | None, typer.Argument(help="Experiment folder or model file.", metavar="[EXP]")] = None,
    opt: Annotated[
        Path | None, typer.Option("-opt", "--opt", help="Option file; weights from path.pretrain_network_g.")
    ] = None,
    model: Annotated[Path | None, typer.Option("--model", help="Model file (*.safetensors).")] = None,
    bicubic: Annotated[bool, typer.Option("--bicubic", help="Measure bicubic enlargement instead of a network.")] = False,
    sets: Annotated[str | None, typer.Option(help="Names, aliases or folders, by comma; default: the papers' five.")] = None,
    scale: Annotated[str | None, typer.Option(help="Scales of --bicubic by comma (2,3,4); a network has its own.")] = None,
    data_root: Annotated[Path | None, typer.Option(help="Folder with the sets; also $QSR_DATA, ./datasets.")] = None,
    depth: Annotated[int | None, typer.Option(help="Sub-network of a depth-dynamic network.")] = None,
    self_ensemble: Annotated[bool, typer.Option("--self-ensemble", help="Mean of eight flips and turns.")] = False,
    tile: Annotated[str, typer.Option(help="LR pixels per side of a tile, auto, or none.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    best: Annotated[bool, typer.Option("--best", help="The experiment's best network instead of its latest.")] = False,
    name: Annotated[str | None, typer.Option(help="Folder below results/; default: from the experiment.")] = None,
    save_images: Annotated[bool, typer.Option("--save-images", help="Keep the upscaled pictures.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the results here, as JSON.")] = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Also write one line per picture here.")] = None,
    md_file: Annotated[Path | None, typer.Option("--md", help="Also write the table here, as Markdown.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Override a key of the option file.")] = None,
) -> None:
    """Evaluate a trained network, an option file's network, or bicubic."""
    from qsr.cli.console import open_console
    from qsr.errors import OptionsError
    from qsr.evaluate import subject as subjects
    from qsr.evaluate.run import run_test
    from qsr.report.results import write_results
    from qsr.report.tables import footer, result_table, terminal

    if sum((target is not None, opt is not None, model is not None, bicubic)) != 1:
        raise OptionsError("expected exactly one of: an experiment, -opt FILE, --model FILE, --bicubic")
    if best and target is None:
        raise OptionsError("--best needs an experiment folder")
    scales = _numbers("--scale", scale)
    how = subjects.HowToRun(device, _tile(tile), self_ensemble, depth)
    if bicubic:
        subject = subjects.bicubic(scales or (2, 3, 4))
    elif opt is not None:
        from qsr.options import load

        subject = subjects.from_options(load(opt, settings or ()).options, how)
    else:
        subject = subjects.trained(target or model or Path(), how, best=best)
    for one in scales:
        subject.require_scale(one)

    folder = RESULTS / (name or subject.name)
    console = open_console()
    with console.status("") as status:
        outcome = run_test(
            subject,
            [part.strip() for part in sets.split(",") if part.strip()] if sets is not None else None,
            data_root=data_root,
            save_to=folder / "visualization" if save_images else None,
            notify=lambda at: status.update(f"{at.dataset} x{at.scale}  {at.done}/{at.of}  {at.picture}"),
        )
    written = write_results(outcome.results, folder, {"json": json_file, "csv": csv_file, "md": md_file})
    for line in outcome.skipped:
        console.print(f"skipped {line}", markup=False, soft_wrap=True)
    console.print(terminal(outcome.results))
    for line in footer(result_table(outcome.results)):
        console.print(line, markup=False, soft_wrap=True)
    console.print("written  " + ", ".join(map(str, written)), soft_wrap=True)


def _tile(text: str) -> int | Literal["auto"] | None:
    if text == "auto":
        return "auto"
    return None if text == "none" else _numbers("--tile", text)[0]


def _numbers(option: str, text: str | None) -> tuple[int, ...]:
    from qsr.errors import OptionsError

    try:
        return tuple(int(part) for part in text.split(",")) if text is not None else ()
    except ValueError as fault:
        raise OptionsError(
            f"{option} is {text!r}, expected a number" + (" or several by comma" if option == "--scale" else "")
        ) from fault
