"""`qsr bibench`: binarization operators on six tracks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qsr.cli.leaderboard_verb import FAILED, Executor, parse_shard

if TYPE_CHECKING:
    from qsr.bibench.run import Run
    from qsr.bibench.spec import Track


def command(
    opt: Annotated[Path, typer.Option("-opt", "--opt", help="Benchmark file (YAML), e.g. options/bibench/small.yml.")],
    out: Annotated[Path | None, typer.Option("-o", "--output", help="Folder; default: experiments/bibench/NAME.")] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="Folder with training pictures and sets; also $QSR_DATA, ./datasets.")
    ] = None,
    track: Annotated[
        str | None, typer.Option(help="Tracks by comma: task, arch, robust, comp, train, infer. Default: all.")
    ] = None,
    only: Annotated[str | None, typer.Option(help="Operators or OPERATOR_FAMILY by comma, with * and ?.")] = None,
    budget: Annotated[
        int | None, typer.Option(help="Iterations of every network that has a start, in place of the file's.")
    ] = None,
    jobs: Annotated[
        int, typer.Option(help="Trainings or cells at a time on this machine; times are taken one by one.", min=1)
    ] = 1,
    shard: Annotated[str, typer.Option(help="i/n: the i-th of n parts, for n commands that share the folder.")] = "1/1",
    executor: Annotated[Executor, typer.Option(help="local processes, or tasks of a Ray cluster.")] = Executor.local,
    address: Annotated[str | None, typer.Option(help="Of the Ray cluster; also $RAY_ADDRESS.")] = None,
    reuse: Annotated[
        str | None, typer.Option(help="Folders of leaderboards, by comma, whose equal trainings are copied.")
    ] = None,
    patience: Annotated[float, typer.Option(help="Seconds to wait for another shard's start that nobody works on.")] = 900,
    any_code: Annotated[bool, typer.Option("--any-code", help="Accept results of other sources; the table says so.")] = False,
    cell: Annotated[
        str | None, typer.Option(help="KIND/NAME with * and ?: measure these cells anew, and nothing else.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and the command of each part.")] = False,
    collect_only: Annotated[bool, typer.Option("--collect-only", help="Make the tables of what is there.")] = False,
) -> None:
    """Train every operator on every kind of network, measure it on six tracks, and write the tables.

    Everything is resumable part by part; a part that fails leaves the others alone, and its cells are n/a.
    """
    from qsr.bibench.collect import write
    from qsr.bibench.rows import make
    from qsr.bibench.run import How, Run
    from qsr.bibench.tables import terminal
    from qsr.cli.console import open_console

    console = open_console()

    def tell(line: str) -> None:
        console.print(line, markup=False, soft_wrap=True)

    tracks = _tracks(track)
    work = make(opt, out, data_root=data_root, budget=budget, only=_listed(only), shard=parse_shard(shard), tracks=tracks)
    folders = tuple(Path(folder) for folder in _listed(reuse))
    ray = executor is Executor.ray
    how = How(tracks, jobs=jobs, ray=ray, address=address, any_code=any_code, reuse=folders, patience=patience)
    run = Run(work, how, tell)
    if dry_run:
        _say_what(run)
        return
    if cell is not None:
        run.measure(_listed(cell))
    elif not collect_only:
        run.train()
        run.measure()
    found = write(run)
    for drawn in terminal(found):
        console.print(drawn)
    tell("written  " + ", ".join(str(work.out / f"bibench.{form}") for form in ("json", "csv", "md")))
    if run.failed:
        for name, why in run.failed.items():
            tell(f"failed   {name}: {why}")
        raise typer.Exit(FAILED)


def _say_what(run: Run) -> None:
    """Every training and cell with its state and command."""
    from qsr.bibench import cells

    for name, session in run.sessions.items():
        for task in session.plan.mine:
            run.tell(f"{session.status(task):8} {name}/{task.name}: {task.train_command}")
    for cell in run.cells():
        run.tell(f"{run.status(cell):8} {cell.title}: {cells.command(run.work, cell)}")


def _tracks(text: str | None) -> tuple[Track, ...]:
    from qsr.bibench.spec import TRACKS
    from qsr.errors import OptionsError
    from qsr.options.problems import nearest

    wanted = _listed(text)
    for name in wanted:
        if name not in TRACKS:
            raise OptionsError(f"--track {name}: no such track{nearest(name, TRACKS)}", hint=f"tracks: {', '.join(TRACKS)}")
    return tuple(track for track in TRACKS if not wanted or track in wanted)


def _listed(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())
