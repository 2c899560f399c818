"""`qsr upscale`: files, folders and videos enlarged by a packed network, without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pathlib import Path

    from qsr.upscale.enlarge import Network, Tile
    from qsr.upscale.names import Plan


def command(
    inputs: Annotated[list[str], typer.Argument(help="Pictures, videos, folders or patterns such as 'a*.png'.")],
    out: Annotated[str | None, typer.Option("-o", "--out", help="File or folder; left out: NAME_x2.png beside each.")] = None,
    model: Annotated[str | None, typer.Option("-m", "--model", help="A .qsr file or a name of `qsr zoo list`.")] = None,
    scale: Annotated[int | None, typer.Option(help="Of the released model that is taken without -m; left out: 2.")] = None,
    tile: Annotated[str, typer.Option(help="Side of the tiles in pixels of the input, or auto.")] = "auto",
    self_ensemble: Annotated[bool, typer.Option("--self-ensemble", help="Mean of eight views: eight times the time.")] = False,
    depth: Annotated[int | None, typer.Option(help="Of a depth-dynamic network: how many blocks run.")] = None,
    wanted: Annotated[str | None, typer.Option("--format", help="png, jpg, webp, tiff, or same (as the input).")] = None,
    quality: Annotated[int, typer.Option(min=1, max=100, help="Of jpg and webp.")] = 95,
    recursive: Annotated[bool, typer.Option("-r", "--recursive", help="Also the folders inside of folders.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Do again what is done, replace what is there.")] = False,
    threads: Annotated[int | None, typer.Option(min=1, help="Left out: one per core.")] = None,
    executor: Annotated[str, typer.Option(help="local, or ray: the files over an existing Ray cluster.")] = "local",
) -> None:
    """Enlarge pictures and videos; `qsr upscale photo.jpg` just works.

    What is done is skipped, what fails is counted; no result is ever half-written. docs/upscale.md says the rest.
    """
    import signal
    import time

    from qsr.errors import OptionsError
    from qsr.upscale import batch, choose
    from qsr.upscale.enlarge import Way
    from qsr.upscale.names import plan

    if executor not in ("local", "ray"):
        raise OptionsError(f"--executor is {executor!r}, expected local or ray")
    begun = time.perf_counter()
    path = choose.find_model(model, scale)
    network = choose.open_network(path, threads)
    _check(network, path, scale, depth)
    work = plan(inputs, out, network.scale, wanted, recursive)
    mark = choose.mark(path, network.scale, depth, self_ensemble)
    how = batch.How(mark, Way(_tile(tile), depth, self_ensemble), quality, overwrite, work.root, batch.new_token())
    batch.clean(work.jobs)
    _tell_of(work)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # being told to stop is like Ctrl-C: temporary files go
    outcomes: list[batch.Outcome] = []
    with _Screen(len(work.jobs)) as screen:

        def tell(outcome: batch.Outcome) -> None:
            outcomes.append(outcome)
            screen.say(outcome.line(), outcome.state == "failed")
            screen.step()

        try:
            if executor == "ray":
                from qsr.upscale.ray_files import run_on_ray

                run_on_ray(path, work.jobs, how, threads or 1, tell, screen.tick)
            else:
                batch.run(network, work.jobs, how, tell, screen.tick)
        finally:
            summary = batch.Summary.of(outcomes, len(work.faults))
            screen.say(summary.line(time.perf_counter() - begun))
    if summary.exit_code:
        raise typer.Exit(summary.exit_code)


def _tile(text: str) -> Tile:
    from qsr.errors import OptionsError

    if text == "auto":
        return "auto"
    if not text.isdecimal() or int(text) < 1:
        raise OptionsError(f"--tile is {text!r}, expected auto or a number of pixels")
    return int(text)


def _check(network: Network, path: Path, scale: int | None, depth: int | None) -> None:
    from qsr.errors import OptionsError

    if scale is not None and scale != network.scale:
        raise OptionsError(f"--scale is {scale}, but {path.name} is for x{network.scale}", hint="leave one of the two out")
    depths = getattr(network, "depths", ())
    if depth is not None and depth not in depths:
        known = ", ".join(str(one) for one in depths if one is not None) or "none: leave --depth out"
        raise OptionsError(f"--depth is {depth}, this network has {known}")


def _tell_of(work: Plan) -> None:
    from qsr.upscale.names import printable

    for path, why in work.faults:
        typer.echo(f"{printable(path)}: failed: {printable(why)}", err=True)
    if work.left_out:
        typer.echo(f"{len(work.left_out)} left out: they are results of others")


class _Screen:
    """Lines, and on a terminal a bar below them with files and pixels per second."""

    def __init__(self, files: int) -> None:
        import sys

        self._progress = None
        self._pixels = 0
        if sys.stdout.isatty() and files:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

            speed = TextColumn("{task.fields[speed]}")
            self._progress = Progress(BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), speed, transient=True)
            self._task = self._progress.add_task("", total=files, speed="")

    def __enter__(self) -> _Screen:
        if self._progress:
            self._progress.start()
        return self

    def __exit__(self, *what: object) -> None:
        if self._progress:
            self._progress.stop()

    def say(self, line: str, failed: bool = False) -> None:
        if self._progress:
            self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            typer.echo(line, err=failed)

    def step(self) -> None:
        if self._progress:
            self._progress.advance(self._task)

    def tick(self, pixels: int) -> None:
        self._pixels += pixels
        if self._progress and (elapsed := self._progress.tasks[0].elapsed):
            self._progress.update(self._task, speed=f"{self._pixels / 1e6 / elapsed:.2f} MP/s")
