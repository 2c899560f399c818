"""Files as tasks of an existing Ray cluster (`pip install qsr[ray]`): one task per file, done again if its worker dies.

Every node needs qsr and the same paths for inputs and outputs. The network's bytes travel with the tasks; a worker keeps
it for its next file. A result is renamed into place, so it does not matter if two workers made it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from qsr import cluster
from qsr.errors import EnvironmentFault
from qsr.upscale.batch import How, Outcome, Tell, clean, run
from qsr.upscale.choose import open_network
from qsr.upscale.enlarge import Tick, silent
from qsr.upscale.names import Job

_open: dict[tuple[str, int], Any] = {}  # on a worker: (mark, threads) -> network


def run_on_ray(
    model: Path, jobs: Sequence[Job], how: How, threads: int, tell: Tell, tick: Tick = silent, *,
    address: str | None = None, environment: dict[str, str] | None = None,
) -> list[Outcome]:  # fmt: skip
    """Do all jobs on a cluster; one outcome for each, in the order of the jobs.

    address: of the cluster; default $RAY_ADDRESS, else the one on this machine. environment: variables for the workers.
    Raises EnvironmentFault where Ray or a cluster is missing.
    """
    ray = cluster.ray()
    cluster.connect(ray, address, environment)
    outcomes: dict[Job, Outcome] = {}
    how = replace(how, root=how.root and Path(os.path.abspath(how.root)))
    try:
        network = ray.put(model.read_bytes())
        # a worker or node that dies is no failure of the file: it is done again, however often
        remote = ray.remote(max_retries=-1, num_cpus=threads)(do_file)
        names = {remote.options(name=job.source.name[:80]).remote(network, _plain(job), how, threads): job for job in jobs}
        waiting = list(names)
        while waiting:
            ready, waiting = ray.wait(waiting, num_returns=1)
            job = names[ready[0]]
            try:
                outcome = ray.get(ready[0])
            except ray.exceptions.RayError as fault:
                why = f"Ray: {str(fault).strip().splitlines()[-1]}"
                outcome = Outcome(job, "failed", why, exit_code=EnvironmentFault.exit_code)
            outcomes[job] = outcome = replace(outcome, job=job)
            tick(outcome.pixels)
            tell(outcome)
    finally:
        ray.shutdown()
        clean(jobs, how.token)  # of workers that died half-way, on whatever machine
    return [outcomes[job] for job in jobs]


def do_file(data: bytes, job: tuple[str, str], how: How, threads: int) -> Outcome:
    """On a worker: one file, whatever happens to it as an Outcome."""
    key = (how.mark, threads)
    if key not in _open:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "network.qsr")
            path.write_bytes(data)
            _open[key] = open_network(path, threads)
    return run(_open[key], [Job(Path(job[0]), Path(job[1]))], how, lambda outcome: None)[0]


def _plain(job: Job) -> tuple[str, str]:
    # absolute: a worker's folder is not this one's. Links inside stay links.
    return os.path.abspath(job.source), os.path.abspath(job.target)
