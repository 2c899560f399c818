"""One task in a process of its own: take the row's lease, train or resume, measure, write the result.

    python -m qsr.leaderboard.work JOB.json

Whoever started the process keeps its standard input open: when that closes, because the starter ended or was killed,
the row is asked to stop as by SIGTERM (it saves and can be resumed). Exit codes are those of every qsr command, and
BUSY where another worker holds the row.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qsr.errors import ExperimentBusy, FormatError, OptionsError, QsrError
from qsr.files import write_atomic
from qsr.leaderboard.identity import Identity, code_of
from qsr.leaderboard.lease import STALE_SECONDS, Lease
from qsr.leaderboard.measure import Gauge, measure, training
from qsr.leaderboard.plan import PTQ_FILE, Task
from qsr.leaderboard.spec import Row
from qsr.options import load

RESULT_FORMAT = 1
IDENTITY_FILE = "identity.json"
BUSY = 75
LOST = 76


@dataclass(frozen=True)
class Job:
    """A task with all that another process or host needs to do it. stale: seconds after which a lease is taken over."""

    task: Task
    identity: Identity
    gauge: Gauge
    any_code: bool = False
    stale: float = STALE_SECONDS

    def to_json(self) -> dict[str, Any]:
        task, gauge = self.task, self.gauge
        return {
            "row": task.row.model_dump(mode="json"),
            "seed": task.seed,
            "option_file": str(task.option_file.absolute()),
            "overrides": list(task.overrides),
            "start": task.start,
            "out": str(task.out),
            "identity": self.identity.to_json(),
            "scale": gauge.scale,
            "sets": list(gauge.sets),
            "pictures": list(gauge.pictures),
            "data_root": str(gauge.data_root.absolute()) if gauge.data_root else None,
            "any_code": self.any_code,
            "stale": self.stale,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Job:
        """The job again; its options are resolved anew from the option file."""
        file, overrides = Path(data["option_file"]), tuple(data["overrides"])
        options = load(file, overrides).options
        row = Row.model_validate(data["row"])
        task = Task(row, data["seed"], file, overrides, data["start"], options, Path(data["out"]))
        root = Path(data["data_root"]) if data["data_root"] else None
        gauge = Gauge(data["scale"], tuple(data["sets"]), tuple(data["pictures"]), root)
        return cls(task, Identity(**data["identity"]), gauge, data["any_code"], data["stale"])


def read_result(task: Task) -> dict[str, Any] | None:
    """The stored result, or None. Raises FormatError for a damaged one."""
    if not task.result_file.is_file():
        return None
    try:
        data: dict[str, Any] = json.loads(task.result_file.read_text(encoding="utf-8"))
        if data["format"] != RESULT_FORMAT:
            raise FormatError(f"result of format {data['format']}, this qsr reads {RESULT_FORMAT}", where=str(task.result_file))
    except (ValueError, KeyError, TypeError) as fault:
        raise FormatError(f"not a result ({fault})", where=str(task.result_file), hint="remove it") from fault
    return data


def finished(job: Job) -> bool:
    """Whether a result is there that need not be made again."""
    found = read_result(job.task)
    return found is not None and found["status"] == "done" and job.identity.same_result(found["identity"], job.any_code)


def write_result(job: Job, identity: Identity, facts: dict[str, Any]) -> None:
    """Store `facts` (status, why, ...) of a task, atomically."""
    made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    head = {"format": RESULT_FORMAT, "task": job.task.name, "made": made, "identity": identity.to_json()}
    body = {**head, "train_command": job.task.train_command, **facts}
    write_atomic(job.task.result_file, json.dumps(body, indent=1, allow_nan=False).encode())


def perform(job: Job, lease: Lease) -> None:
    """Train and measure under a lease that is held. Raises QsrError as `qsr train` and `qsr test` do."""
    if finished(job):
        return
    training_code, code = code_of(job.task)
    if not job.any_code and (training_code, code) != (job.identity.training, job.identity.code):
        raise OptionsError(
            "the sources changed while the leaderboard ran", hint="start it again, or accept a mixture with --any-code"
        )
    identity = _begin(job, replace(job.identity, training=training_code, code=code))
    began = time.monotonic()
    _make_network(job.task)
    spent = time.monotonic() - began
    facts = training(job.task.folder)
    if facts["seconds"] is None:
        facts["seconds"] = round(spent, 1)
    facts |= {"iterations": job.task.iterations, "measures": measure(job.task, job.gauge)}
    if not lease.held():
        raise ExperimentBusy("another worker has taken this row over", where=job.task.name)
    write_result(job, identity, {"status": "done", "why": "", **facts})


def _begin(job: Job, identity: Identity) -> Identity:
    """Make sure that the experiment's folder is this row's; what another row or other code left is thrown away.

    Returns the identity of what will be measured: with any_code the training code is that of the older beginning.
    """
    folder = job.task.folder
    file = folder / IDENTITY_FILE
    before = json.loads(file.read_text()) if file.is_file() else {}
    if identity.same_experiment(before, job.any_code):
        return replace(identity, training=before["training"])
    # the identity goes first and comes back last: a crash in between leaves a folder that is cleared again
    file.unlink(missing_ok=True)
    if _clear(folder):
        print(f"{job.task.name}: was begun with other options, pictures or code; starts again", flush=True)
    write_atomic(file, json.dumps(identity.to_json(), indent=1).encode())
    return identity


def _clear(folder: Path) -> bool:
    """Remove an experiment's files, but not its lock; says whether there were any."""
    from qsr.train.experiment import OWN

    found = [path for name in (*OWN, PTQ_FILE) if (path := folder / name).exists()]
    for path in found:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    return bool(found)


def _make_network(task: Task) -> None:
    if task.row.kind == "ptq":
        if not task.model.is_file():
            # what it says on stderr is the row's own `why`
            code = subprocess.run([sys.executable, "-m", "qsr.cli.main", *task.train_arguments], check=False).returncode
            if code:
                sys.exit(code)
        return
    from qsr.train.run import train

    if not _trained(task):
        train(task.options, auto_resume=True)


def _trained(task: Task) -> bool:
    """Whether the experiment has come to its end. One that was copied names other paths, with which it could not be resumed."""
    from qsr.archs.modelfile import LATEST, read_info

    latest = task.folder / "models" / LATEST
    return latest.is_file() and read_info(latest).iteration == task.iterations


def main(file: str) -> None:
    """Do the job that `file` describes, under its lease."""
    job = Job.from_json(json.loads(Path(file).read_text(encoding="utf-8")))
    lease = Lease(job.task.out / "locks", job.task.name, job.stale, on_lost=lambda: os._exit(LOST))
    # a worker that was lost together with its host leaves a lease that is free only when it is stale
    if not lease.wait(1.5 * job.stale):
        raise ExperimentBusy(f"row in use by {lease.holder()}", where=job.task.name)
    threading.Thread(target=_stop_with_starter, daemon=True).start()
    with lease:
        perform(job, lease)


def _stop_with_starter() -> None:
    """SIGTERM to this process when standard input closes.

    Reads the descriptor: a thread that waits inside sys.stdin holds its lock, which ends Python with SIGABRT.
    """
    while os.read(0, 4096):
        continue
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except ExperimentBusy as fault:
        print(f"qsr: {fault}", file=sys.stderr)
        sys.exit(BUSY)
    except QsrError as fault:
        print(f"qsr: {fault}", file=sys.stderr)
        sys.exit(fault.exit_code)
