"""What the drills on a real Ray cluster share: its nodes, the processes under them, and waiting with an end.

Nothing here waits for a time in which something should have happened: a busy machine takes longer. Linux only (/proc).
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

T = TypeVar("T")
needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install 'qsr[ray]'")


def add_node(cluster: Any, num_cpus: int) -> Any:
    """A node with few helpers; tried again, since Ray gives these half a minute to start, which a busy machine may lack."""
    small = {"object_store_memory": 80 * 2**20, "include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
    for _ in range(9):
        try:
            return cluster.add_node(num_cpus=num_cpus, **small)
        except Exception as fault:
            if "timed out during startup" not in str(fault):
                raise
        # Ray leaves the late one running: it would join after all, as a node that no test knows
        known = {raylet_of(node) for node in cluster.list_all_nodes()}
        for pid, title in children(os.getpid()).items():
            if "raylet/raylet" in title and pid not in known:
                kill(pid)
    pytest.fail("no Ray node comes up on this machine")


@contextlib.contextmanager
def two_nodes() -> Iterator[tuple[Any, dict[int, Any]]]:
    """A cluster and its two nodes of one processor each, by the process id of their raylets; the head takes no tasks."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    try:
        add_node(cluster, num_cpus=0)
        added = [add_node(cluster, num_cpus=1) for _ in range(2)]
        yield cluster, {raylet_of(node): node for node in added}
    finally:
        ray.shutdown()
        cluster.shutdown()


def raylet_of(node: Any) -> int:
    """The process id of a node's raylet, the parent of its workers."""
    return int(node.all_processes["raylet"][0].process.pid)


def wait_for(what: str, find: Callable[[], T | None], over: threading.Event | None = None, seconds: float = 600) -> T:
    """The first true result of `find`; the test fails without one after `seconds`, or once `over` is set."""
    end = time.monotonic() + seconds
    while True:
        last = time.monotonic() > end or (over is not None and over.is_set())
        if found := find():
            return found
        if last:
            pytest.fail(f"{what}: not seen in {seconds} s, or not before the end of the work")
        time.sleep(0.01)


def children(parent: int) -> dict[int, str]:
    """Command lines of the child processes, by their id; a Ray worker's is `ray::` and the name of its task."""
    found: dict[int, str] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        # processes come and go while one looks
        with contextlib.suppress(OSError):
            if parent_of(int(folder.name)) == parent:
                found[int(folder.name)] = (folder / "cmdline").read_bytes().rstrip(b"\0").decode(errors="replace")
    return found


def parent_of(pid: int) -> int:
    return int(_stat(pid)[1])


@contextlib.contextmanager
def frozen(pid: int) -> Iterator[None]:
    """A process that does nothing meanwhile: what is seen of its work stays true until the end of the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        # the signal arrives a little later than it is sent
        wait_for(f"process {pid} stopped", lambda: _stat(pid)[0] == "T")
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def kill(pid: int) -> None:
    """End a process that may have ended already."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _stat(pid: int) -> list[str]:
    """State, parent, ... of /proc/PID/stat; what is before them, the name in parentheses, may contain anything."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
