"""Rows on a Ray cluster. The drill with two nodes, one of which is killed, needs Ray and runs nightly."""

from __future__ import annotations

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from board_drill import BOARD, REPOSITORY, plan, store, stored

from qsr import cluster
from qsr.errors import EnvironmentFault, OptionsError
from qsr.leaderboard import ray_executor
from qsr.leaderboard.child import Ended
from qsr.leaderboard.run import Session
from tests.ray_nodes import frozen, needs_ray, parent_of, two_nodes, wait_for


def session_of(folder: Path, data: Path, how: dict[str, Any] | None = None, **changes: Any) -> Session:
    return Session(plan(folder, data, how, **changes), any_code=True)


def test_without_ray_the_way_to_get_it_is_told(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(EnvironmentFault, match=r"qsr\[ray\]"):
        ray_executor.execute(session_of(tmp_path, data))


def test_ray_and_shards_exclude_each_other(tmp_path: Path, data: Path) -> None:
    with pytest.raises(OptionsError, match="--shard"):
        ray_executor.execute(session_of(tmp_path, data, {"shard": (1, 2)}))


def test_a_row_whose_start_failed_fails_with_it(tmp_path: Path, data: Path) -> None:
    job = session_of(tmp_path, data).jobs["rlq_w2a2_s0"]
    assert ray_executor.run_row(job.to_json(), 1, ("failed", "no memory"))[0] == "failed"
    assert stored(tmp_path / "out", "rlq_w2a2_s0")["why"] == "its start fp_s0 failed: no memory"


def test_a_row_runs_in_a_child(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []

    class Child:
        def __init__(self, job: Any, threads: int) -> None:
            started.append((job.task.name, threads))

        def wait(self) -> Ended:
            return Ended("done")

    monkeypatch.setattr(ray_executor, "Child", Child)
    job = session_of(tmp_path, data).jobs["rlq_w2a2_s0"]
    assert ray_executor.run_row(job.to_json(), 3, ("done", "")) == ("done", "")
    assert started == [("rlq_w2a2_s0", 3)]


class Fault(Exception):
    pass


class FakeRay:
    """The few calls of Ray that are used; runs a task when it is waited for, after those it depends on."""

    class exceptions:
        RayError = Fault

    def __init__(self) -> None:
        self.options_seen: list[dict[str, Any]] = []
        self.results: dict[int, Any] = {}

    def init(self, **how: Any) -> None:
        self.address = how["address"]

    def shutdown(self) -> None:
        self.down = True

    def remote(self, **how: Any) -> Any:
        return lambda function: _Remote(self, function)

    def wait(self, references: list[int], num_returns: int) -> tuple[list[int], list[int]]:
        return references[:1], references[1:]

    def get(self, reference: int) -> Any:
        if isinstance(self.results[reference], Exception):
            raise self.results[reference]
        return self.results[reference]


class _Remote:
    def __init__(self, ray: FakeRay, function: Any) -> None:
        self.ray, self.function = ray, function

    def options(self, **how: Any) -> _Remote:
        self.ray.options_seen.append(how)
        return self

    def remote(self, data: Any, threads: int, start: int | None) -> int:
        before = self.ray.results[start] if start is not None else None
        number = len(self.ray.results)
        try:
            self.ray.results[number] = self.function(data, threads, before)
        except Fault as fault:
            self.ray.results[number] = fault
        return number


def test_resources_and_failures(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [BOARD["rows"][1], {**BOARD["rows"][0], "resources": {"cpus": 2, "gpus": 1}}, BOARD["rows"][2]]
    session = session_of(tmp_path, data, rows=rows, seeds=[0])
    fake = FakeRay()
    monkeypatch.setattr(cluster, "ray", lambda: fake)

    def run_row(data: dict[str, Any], threads: int, start: Any) -> tuple[str, str]:
        task = session.jobs[f"{data['row']['row']}_s0"].task
        if task.name == "lsq_w2a2_s0":
            raise Fault("the worker\ndied of memory")
        store(session, task, 30.0)
        assert start == (("done", "") if task.start else None)
        return "done", ""

    monkeypatch.setattr(ray_executor, "run_row", run_row)
    told: list[str] = []
    ray_executor.execute(session, "ray://there", tell=told.append)
    assert fake.address == "ray://there"
    assert fake.down
    wanted = [(how["name"], how["num_cpus"], how["num_gpus"]) for how in fake.options_seen]
    assert wanted == [("fp_s0", 1, 0), ("rlq_w2a2_s0", 2, 1), ("lsq_w2a2_s0", 1, 0)]
    assert session.outcome["lsq_w2a2_s0"] == Ended("failed", "Ray: died of memory")
    assert stored(tmp_path / "out", "lsq_w2a2_s0")["status"] == "failed"
    told.clear()
    ray_executor.execute(session_of(tmp_path, data, {"only": ["rlq*"]}, rows=rows, seeds=[0]), tell=told.append)
    assert told == ["2 rows are done already, 0 to do"]


def holder_of(lease: Path) -> int | None:
    """The process that holds a lease; None before it has said so."""
    text = lease.read_text() if lease.is_file() else ""
    return int(json.loads(text)["pid"]) if text else None


def node_of(pid: int) -> int:
    """The Ray node on whose behalf a process works, by the process id of its raylet."""
    environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return next(int(entry.partition(b"=")[2]) for entry in environment if entry.startswith(b"RAY_RAYLET_PID="))


@pytest.mark.nightly
@needs_ray
@pytest.mark.timeout(1500)
def test_a_node_is_killed_and_its_row_resumes_on_the_other(tmp_path: Path, data: Path) -> None:
    out = tmp_path / "out"
    budget = {**BOARD["budget"], "start_iterations": 3000}
    often = {"logger.save_checkpoint_freq": 50, "logger.print_freq": 50}
    session = Session(plan(tmp_path, data, seeds=[0], rows=BOARD["rows"][:2], budget=budget, set=often), any_code=True)
    places: list[int] = []
    reached: list[int] = []
    over = threading.Event()

    def kill_in_the_middle(ray_cluster: Any, nodes: dict[int, Any]) -> None:
        latest = out / "rows/fp_s0/checkpoints/LATEST"
        wait_for("a checkpoint", latest.is_file, over)
        row = wait_for("the first lease", lambda: holder_of(out / "locks/fp_s0.1"), over)
        # the row must not come to its end while its node does
        with frozen(row):
            reached.append(int(latest.read_text()))
            places.append(node_of(row))
            worker = parent_of(row)
            ray_cluster.remove_node(nodes[places[0]], allow_graceful=False)
            wait_for("the end of the node's worker", lambda: parent_of(row) != worker)
        places.append(node_of(wait_for("a second lease", lambda: holder_of(out / "locks/fp_s0.2"), over)))

    told: list[str] = []
    with two_nodes() as (ray_cluster, nodes), ThreadPoolExecutor(1) as pool:
        killer = pool.submit(kill_in_the_middle, ray_cluster, nodes)
        try:
            where = {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
            ray_executor.execute(session, ray_cluster.address, tell=told.append, environment=where)
        finally:
            over.set()
        killer.result()
    assert {name: ended.state for name, ended in session.outcome.items()} == {"fp_s0": "done", "rlq_w2a2_s0": "done"}, told
    assert sorted(places) == sorted(nodes)
    assert 0 < reached[0] < 3000
    log = (out / "logs/fp_s0.log").read_text()
    assert "resumed" in log
    # one lease per worker, and every iteration once in the metrics
    assert len(list((out / "locks").glob("fp_s0.*"))) == 2
    rows = [json.loads(line)["iter"] for line in (out / "rows/fp_s0/metrics.jsonl").read_text().splitlines()]
    assert rows == sorted(set(rows))
    assert stored(out, "fp_s0")["status"] == "done"
