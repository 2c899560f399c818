"""`qsr leaderboard`: every row of a leaderboard file trained, measured and put into one table."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from qsr.leaderboard.run import Session


FAILED = 1  # exit code where the table is written, but not every row could be made


class Executor(StrEnum):
    local = "local"
    ray = "ray"


def command(
    opt: Annotated[Path, typer.Option("-opt", "--opt", help="Leaderboard file (YAML), e.g. options/leaderboard/small_x2.yml.")],
    out: Annotated[Path | None, typer.Option("-o", "--output", help="Folder; default: experiments/leaderboard/NAME.")] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="Folder with training pictures and sets; also $QSR_DATA, ./datasets.")
    ] = None,
    budget: Annotated[
        int | None, typer.Option(help="Iterations of every row that has a start, in place of the file's.")
    ] = None,
    only: Annotated[str | None, typer.Option(help="Rows or groups by comma, with * and ?; their starts come along.")] = None,
    jobs: Annotated[int, typer.Option(help="Rows at a time on this machine; the cores are shared out.", min=1)] = 1,
    shard: Annotated[str, typer.Option(help="i/n: the i-th of n parts, for n commands that share the folder.")] = "1/1",
    executor: Annotated[Executor, typer.Option(help="local processes, or tasks of a Ray cluster.")] = Executor.local,
    address: Annotated[str | None, typer.Option(help="Of the Ray cluster; also $RAY_ADDRESS.")] = None,
    patience: Annotated[float, typer.Option(help="Seconds to wait for another shard's start that nobody works on.")] = 900,
    any_code: Annotated[bool, typer.Option("--any-code", help="Accept results of other sources; the table says so.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and the command of each row.")] = False,
    collect_only: Annotated[bool, typer.Option("--collect-only", help="Make the table of what is there.")] = False,
) -> None:
    """Train and measure all rows of a file, each as an ordinary experiment, and write the table.

    A row whose result exists is skipped, an interrupted one resumes, one that fails leaves the others alone.
    """
    from qsr.cli.console import open_console
    from qsr.leaderboard.plan import make
    from qsr.leaderboard.run import Session

    console = open_console()
    chosen = [part.strip() for part in (only or "").split(",") if part.strip()]
    plan = make(opt, out, data_root=data_root, budget=budget, only=chosen, shard=parse_shard(shard))
    session = Session(plan, any_code)

    def tell(line: str) -> None:
        console.print(line, markup=False, soft_wrap=True)

    if dry_run:
        for task in plan.mine:
            tell(f"{session.status(task):8} {task.name}: {task.train_command}")
        return
    if not collect_only:
        _execute(session, executor, address, jobs, patience, tell)
    from qsr.leaderboard.collect import write
    from qsr.leaderboard.tables import reasons, terminal

    found = write(session)
    console.print(terminal(found))
    for line in reasons(found):
        tell(line)
    tell("written  " + ", ".join(str(plan.out / f"leaderboard.{form}") for form in ("json", "csv", "md")))
    failed = [name for name, ended in session.outcome.items() if ended.state == "failed"]
    if failed:
        tell(f"failed   {', '.join(failed)}; logs in {plan.out / 'logs'}")
        raise typer.Exit(FAILED)


def _execute(
    session: Session, executor: Executor, address: str | None, jobs: int, patience: float, tell: Callable[[str], None]
) -> None:
    if executor is Executor.ray:
        from qsr.leaderboard import ray_executor

        ray_executor.execute(session, address, tell=tell)
    else:
        from qsr.leaderboard import run

        run.execute(session, jobs, tell=tell, patience=patience)


def parse_shard(text: str) -> tuple[int, int]:
    """`2/4` as (2, 4). Raises OptionsError."""
    from qsr.errors import OptionsError

    number, slash, of = text.partition("/")
    if not (slash and number.isdigit() and of.isdigit() and 1 <= int(number) <= int(of)):
        raise OptionsError(f"--shard is {text!r}, expected i/n with 1 <= i <= n, for instance 1/4")
    return int(number), int(of)
