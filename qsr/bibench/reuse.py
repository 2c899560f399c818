"""Results that are there already: of another leaderboard or benchmark, or of another name in this one.

Two trainings are the same where options, pictures and code are (leaderboard/identity.py); names and paths are no part of
that. Then the experiment and its result are copied, and nothing is trained twice. With only the sets different the
experiment is copied, and measured anew.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from qsr.errors import FormatError
from qsr.files import write_atomic
from qsr.jsonfile import read_json
from qsr.leaderboard.lease import Lease
from qsr.leaderboard.measure import measuring_command
from qsr.leaderboard.plan import Task
from qsr.leaderboard.run import Session, Tell
from qsr.leaderboard.work import IDENTITY_FILE, RESULT_FORMAT, Job

LEFT = ("LOCK", "tb_logger", "visualization")  # of an experiment, nothing that its copy needs


def experiments(folders: Iterable[Path]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """(a leaderboard's folder, the result) of every finished row below `folders`, each a leaderboard's or one of several."""
    for folder in folders:
        for results in sorted((*folder.glob("results"), *folder.glob("*/results"), *folder.glob("*/*/results"))):
            for file in sorted(results.glob("*.json")):
                try:
                    found = read_json(file)
                except ValueError as fault:
                    raise FormatError(f"not a result ({fault})", where=str(file), hint="remove it") from fault
                if isinstance(found, dict) and found.get("format") == RESULT_FORMAT and found.get("status") == "done":
                    yield results.parent, found


def take(session: Session, tasks: Iterable[Task], folders: Iterable[Path], tell: Tell) -> None:
    """Copy what is there for those of `tasks` that are not done. A row that somebody works on is left to them."""
    wanted = [task for task in tasks if not session.finished(task)]
    if not wanted:
        return
    known = list(experiments(folders))
    for task in wanted:
        job = session.jobs[task.name]
        same = [one for one in known if job.identity.same_experiment(one[1]["identity"], job.any_code)]
        same.sort(key=lambda one: not job.identity.same_result(one[1]["identity"], job.any_code))
        for board, result in same:
            folder = board / "rows" / str(result["task"])
            if folder != task.folder and (folder / IDENTITY_FILE).is_file():
                _copy(session, task, folder, result, tell)
                break


def _copy(session: Session, task: Task, folder: Path, result: dict[str, Any], tell: Tell) -> None:
    job = session.jobs[task.name]
    lease = Lease(task.out / "locks", task.name, job.stale)
    if not lease.acquire():
        return
    with lease:
        if session.finished(task):
            return
        if task.folder.exists():
            shutil.rmtree(task.folder)
        # the identity last: without it a copy that was cut off is begun anew
        shutil.copytree(folder, task.folder, ignore=shutil.ignore_patterns(*LEFT, IDENTITY_FILE))
        write_atomic(task.folder / IDENTITY_FILE, (folder / IDENTITY_FILE).read_bytes())
        if job.identity.same_result(result["identity"], job.any_code):
            named = {"task": task.name, "train_command": task.train_command, "copied": str(folder)}
            body = {**result, **named, "measures": _measures(job, folder.parents[1], result)}
            write_atomic(task.result_file, json.dumps(body, indent=1, allow_nan=False).encode())
        tell(f"{task.name}: the same as {folder}, copied")


def _measures(job: Job, board: Path, result: dict[str, Any]) -> list[dict[str, Any]]:
    """The measures under this task's name: its command, and the kept pictures copied beside its own."""
    measures = []
    for measure in result["measures"]:
        kept = {}
        for chosen, file in measure["pictures"].items():
            own = file.replace(str(result["task"]), job.task.name)
            if (board / file).is_file():
                write_atomic(job.task.out / own, (board / file).read_bytes())
                kept[chosen] = own
        command = measuring_command(job.task, job.gauge, measure["depth"], measure["self_ensemble"])
        measures.append({**measure, "pictures": kept, "test_command": command})
    return measures
