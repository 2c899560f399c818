"""Joining a Ray cluster that somebody else has started (`pip install qsr[ray]`)."""

from __future__ import annotations

import os
from typing import Any

from qsr.errors import EnvironmentFault


def ray() -> Any:
    """The ray package, imported when it is asked for: it is large, and most who use qsr have no cluster.

    Raises EnvironmentFault where it is not installed.
    """
    try:
        import ray
    except ImportError as fault:
        raise EnvironmentFault("--executor ray needs Ray, which is not installed", hint="pip install 'qsr[ray]'") from fault
    return ray


def connect(ray: Any, address: str | None = None, environment: dict[str, str] | None = None) -> None:
    """Join a cluster; `ray.shutdown()` leaves it.

    ray: what `ray()` gave. address: of the cluster; default $RAY_ADDRESS, else the one on this machine. environment:
    variables for the workers. Raises EnvironmentFault where there is no cluster.
    """
    # a cluster is joined, never started: the tasks would otherwise run on this machine only, unasked
    where = address or os.environ.get("RAY_ADDRESS") or "auto"
    try:
        ray.init(address=where, runtime_env={"env_vars": environment or {}}, log_to_driver=False)
    except (ConnectionError, ValueError) as fault:
        raise EnvironmentFault(
            f"no Ray cluster at {where}", hint="start one with `ray start --head`, or name it with RAY_ADDRESS"
        ) from fault
