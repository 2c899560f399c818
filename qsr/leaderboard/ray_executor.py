"""Rows as tasks of an existing Ray cluster (`pip install qsr[ray]`): one Ray task per row and seed.

Ray places the tasks and starts one again elsewhere when its worker or node dies; the row then resumes from its last
checkpoint in the shared folder. The row itself runs in a child process, exactly as on one machine, so that a crash of
the row is the row's and not the cluster's. Every node needs qsr installed and the output folder, the pictures and the
option files under the same paths.
"""

from __future__ import annotations

from typing import Any

from qsr import cluster
from qsr.errors import OptionsError
from qsr.leaderboard.child import Child, Ended
from qsr.leaderboard.run import Session, Tell
from qsr.leaderboard.work import Job, write_result


def execute(
    session: Session, address: str | None = None, *, tell: Tell = print, environment: dict[str, str] | None = None
) -> None:
    """Do the plan's chosen tasks on a cluster; returns when each is done or has failed.

    address: of the cluster; default $RAY_ADDRESS, else the one on this machine. environment: variables for the workers.
    Raises EnvironmentFault where Ray or a cluster is missing, OptionsError for a shard (Ray distributes by itself).
    """
    if session.plan.shard != (1, 1):
        raise OptionsError("--shard is for several --executor local; Ray distributes the rows by itself")
    ray = cluster.ray()
    mine = [task for task in session.plan.mine if not session.finished(task)]
    tell(f"{len(session.plan.mine) - len(mine)} rows are done already, {len(mine)} to do")
    if not mine:
        return
    cluster.connect(ray, address, environment)
    try:
        # each call in a worker of its own, which ends after it; a dead worker or node is no failure of the row
        remote = ray.remote(max_calls=1, max_retries=-1)(run_row)
        asked: dict[str, Any] = {}
        names: dict[Any, str] = {}
        for task in mine:
            needs = session.plan.board.resources_of(task.row)
            start = asked.get(task.start or "")
            call = remote.options(num_cpus=needs.cpus, num_gpus=needs.gpus, name=task.name)
            asked[task.name] = call.remote(session.jobs[task.name].to_json(), needs.cpus, start)
            names[asked[task.name]] = task.name
        waiting = list(names)
        while waiting:
            ready, waiting = ray.wait(waiting, num_returns=1)
            _settle(ray, session, ready[0], names[ready[0]], tell)
    finally:
        ray.shutdown()


def run_row(data: dict[str, Any], threads: int, start: tuple[str, str] | None = None) -> tuple[str, str]:
    """On a worker: one job in a child process. start: how the row it starts from ended; Ray waits for that before.

    Returns (state, why) of `Ended`.
    """
    job = Job.from_json(data)
    if start is not None and start[0] != "done":
        why = f"its start {job.task.start} {start[0]}: {start[1]}"
        write_result(job, job.identity, {"status": "failed", "why": why})
        return "failed", why
    ended = Child(job, threads).wait()
    return ended.state, ended.why


def _settle(ray: Any, session: Session, reference: Any, name: str, tell: Tell) -> None:
    try:
        state, why = ray.get(reference)
    except ray.exceptions.RayError as fault:
        state, why = "failed", f"Ray: {str(fault).strip().splitlines()[-1]}"
        job = session.jobs[name]
        write_result(job, job.identity, {"status": "failed", "why": why})
    session.outcome[name] = Ended(state, why)
    tell(f"{name}: {state}" + (f": {why}" if why else ""))
