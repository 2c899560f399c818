"""From the results of all tasks to leaderboard.json and its tables: read by `qsr report`, written after every run.

Nothing is trained here. What is missing is null or `missing`; a row that failed says why.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from qsr.evaluate.protocol import default
from qsr.evaluate.reference import published
from qsr.files import write_atomic
from qsr.leaderboard import stats
from qsr.leaderboard.measure import backbone, baseline, variants
from qsr.leaderboard.plan import Task
from qsr.leaderboard.run import Session
from qsr.leaderboard.work import read_result
from qsr.spec import METHODS

FORMAT = 1
BASELINE_FILE = "baseline.json"
# of a result's measure; the first done seed speaks for the row
ROW_FACTS = ("params_k", "ops_g", "bits", "planes", "layers", "pictures")


def collect(session: Session) -> dict[str, Any]:
    """The leaderboard as plain JSON, format 1."""
    plan, board = session.plan, session.plan.board
    rows = [_row(session, tasks, i) for tasks in _by_row(session) for i in range(len(variants(tasks[0])))]
    hours = sum(read["seconds"] or 0 for task in plan.tasks if (read := _done(task))) / 3600
    budget = {"iterations": board.budget.iterations, "fp_iterations": board.budget.start_iterations}
    return {
        "format": FORMAT,
        "name": board.name,
        "scale": board.scale,
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "protocol": default(board.scale).name,
        "sets": list(board.sets),
        "budget": {**budget, "batch": board.budget.batch, "lq_patch": board.budget.lq_patch},
        "machine": machine(),
        "versions": package_versions(),
        "hours": round(hours, 3),
        "rows": rows,
        "order": stats.order(rows, board.sets),
        **baseline_of(session),
    }


def write(session: Session) -> dict[str, Any]:
    """`collect`, written as leaderboard.json, .csv and .md; returns the JSON."""
    from qsr.leaderboard.tables import csv_text, markdown

    found = collect(session)
    text = json.dumps(found, indent=1, allow_nan=False) + "\n"
    for name, content in (("json", text), ("csv", csv_text(found)), ("md", markdown(found))):
        write_atomic(session.plan.out / f"leaderboard.{name}", content.encode())
    return found


def _by_row(session: Session) -> list[list[Task]]:
    """The seeds of each row, in the order of the file."""
    tasks = session.plan.tasks
    return [[task for task in tasks if task.row.row == row.row] for row in session.plan.board.rows]


def _row(session: Session, tasks: Sequence[Task], variant: int) -> dict[str, Any]:
    first = tasks[0]
    depth, ensemble = variants(first)[variant]
    seeds = [_seed(session, task, variant) for task in tasks]
    measures = [found["measures"][variant] for task in tasks if (found := _done(task))]
    quant = first.options.quant
    method = "ptq" if first.row.kind == "ptq" else quant.method if quant else "fp"
    w_bits, a_bits = (quant.w_bits, quant.a_bits) if quant else (32, 32)
    name = first.row.row + (f"@{depth}" if depth else "") + ("+" if ensemble else "")
    theirs = _published_as(first, ensemble)
    status = _status([seed["status"] for seed in seeds])
    reported = measures[0] if measures else {}
    row: dict[str, Any] = {
        "row": name,
        "label": (first.row.label or theirs or method) + (f", {depth} blocks" if depth else "") + (" +" if ensemble else ""),
        "method": method,
        "group": first.row.group,
        "w_bits": w_bits,
        "a_bits": a_bits,
        "backbone": backbone(first.options, depth),
        "scale": first.options.scale,
        "depth": depth,
        "self_ensemble": ensemble,
        "note": _note(first, tasks, session),
        "approximate": quant is not None and quant.method in METHODS and METHODS[quant.method].approximate,
        "status": status,
        "why": next((seed["why"] for seed in seeds if seed["why"]), ""),
        "seeds": seeds,
        "mean": stats.mean_scores(seeds),
        "published": _published(theirs, first, w_bits, a_bits, session.plan.board.sets),
        "published_as": theirs,
        "milliseconds": None,
    }
    return row | {key: reported.get(key) for key in ROW_FACTS} | {"pictures": reported.get("pictures", {})}


def _seed(session: Session, task: Task, variant: int) -> dict[str, Any]:
    found = _done(task)
    status = session.status(task)
    stale = ""
    if found is not None and status in ("missing", "failed"):
        # an older result is worth showing, with the reason why it would be made anew
        stale, status = "made with other options, pictures or code", "done"
    why = stale
    if status == "failed":
        why = str((read_result(task) or {}).get("why", ""))
    measured = found["measures"][variant] if found is not None else {}
    identity: Mapping[str, Any] = found["identity"] if found is not None else session.jobs[task.name].identity.to_json()
    return {
        "seed": task.seed,
        "experiment": f"rows/{task.name}",
        "status": status,
        "why": why,
        "scores": measured.get("scores", {}),
        "iterations": found["iterations"] if found else None,
        "seconds": found["seconds"] if found else None,
        "code": identity["code"],
        "options_hash": identity["options"],
        "data_hash": identity["data"],
        "train_command": task.train_command,
        "test_command": measured.get("test_command"),
        "curve": found["curve"] if found else [],
        "validation": found["validation"] if found else [],
        "average_bits": measured.get("average_bits"),
    }


def _done(task: Task) -> dict[str, Any] | None:
    found = read_result(task)
    return found if found is not None and found["status"] == "done" else None


def _status(statuses: Sequence[str]) -> str:
    """Of a row: done when every seed is, else the worst that is known."""
    return next(status for status in ("failed", "running", "missing", "done") if status in statuses)


def _note(first: Task, tasks: Sequence[Task], session: Session) -> str:
    own = {session.jobs[task.name].identity.code for task in tasks}
    made = {found["identity"]["code"] for task in tasks if (found := _done(task))}
    other = f"made by other code ({', '.join(sorted(made - own))})" if made - own else ""
    return "; ".join(filter(None, (first.row.note, other)))


def _published_as(task: Task, ensemble: bool) -> str | None:
    from qsr.evaluate.subject import PAPER_NAMES
    from qsr.options.schema import Mixer, SwinIR

    if task.row.published_as is not None:
        name: str | None = task.row.published_as or None
    elif task.row.kind == "ptq" or isinstance(task.options.network_g, Mixer):
        name = None
    elif task.options.quant is None:
        name = "SwinIR_S" if isinstance(task.options.network_g, SwinIR) else "SRResNet"
    else:
        name = PAPER_NAMES.get(task.options.quant.method, (None, None))[isinstance(task.options.network_g, SwinIR)]
    return f"{name}+" if name and ensemble else name


def _published(name: str | None, task: Task, w_bits: int, a_bits: int, sets: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for dataset in sets if name else ():
        cell = published(name or "", task.options.scale, w_bits, a_bits, dataset)
        if cell is not None:
            found[dataset] = {"psnr": cell.psnr, "ssim": cell.ssim, "source": cell.source, "notes": list(cell.notes)}
    return found


def baseline_of(session: Session) -> dict[str, Any]:
    """Bicubic and the pictures' originals, computed once per set of pictures."""
    job = next(iter(session.jobs.values()))
    file = session.plan.out / BASELINE_FILE
    key = {"sets": job.identity.sets, "pictures": list(job.gauge.pictures), "scale": job.gauge.scale}
    if file.is_file():
        kept = json.loads(file.read_text(encoding="utf-8"))
        if kept["key"] == key:
            return {name: kept[name] for name in ("bicubic", "pictures")}
    made = baseline(session.plan.out, job.gauge)
    write_atomic(file, json.dumps({"key": key, **made}, indent=1).encode())
    return made


def machine() -> dict[str, Any]:
    from qsr.runtime.cpu import cpu_name, isa_flags

    return {"cpu": cpu_name(), "isa": " ".join(isa_flags()), "cores": os.cpu_count()}


def package_versions() -> dict[str, str]:
    from qsr.archs.modelfile import versions

    return versions()
