"""Files on a Ray cluster. The drill with two nodes, one of which is killed, needs Ray and runs nightly."""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from upscale_fakes import Nearest, colours

from qsr.data.image import read_image
from qsr.errors import EnvironmentFault
from qsr.upscale import ray_files, target
from qsr.upscale.batch import How, Outcome, new_token
from qsr.upscale.choose import mark
from qsr.upscale.names import Job, plan

HAS_RAY = importlib.util.find_spec("ray") is not None
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "net.qsr"
    path.write_bytes(b"a network")
    return path


class Fault(Exception):
    pass


class FakeRay:
    """The few calls of Ray that are used; a task runs when it is asked for."""

    class exceptions:
        RayError = Fault

    def __init__(self) -> None:
        self.options_seen: list[dict[str, Any]] = []
        self.results: list[Any] = []

    def init(self, **how: Any) -> None:
        self.how = how

    def shutdown(self) -> None:
        self.down = True

    def put(self, value: Any) -> Any:
        return value

    def remote(self, **how: Any) -> Any:
        self.options_seen.append(how)
        return lambda function: _Remote(self, function)

    def wait(self, references: list[int], num_returns: int) -> tuple[list[int], list[int]]:
        return references[-1:], references[:-1]  # the last first: order is not to be relied on

    def get(self, reference: int) -> Any:
        if isinstance(self.results[reference], Exception):
            raise self.results[reference]
        return self.results[reference]


class _Remote:
    def __init__(self, ray: FakeRay, function: Any) -> None:
        self.ray, self.function = ray, function

    def options(self, **how: Any) -> _Remote:
        return self

    def remote(self, *arguments: Any) -> int:
        try:
            self.ray.results.append(self.function(*arguments))
        except Fault as fault:
            self.ray.results.append(fault)
        return len(self.ray.results) - 1


def test_without_ray_the_way_to_get_it_is_told(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(EnvironmentFault, match=r"qsr\[ray\]"):
        ray_files.run_on_ray(model, [], How("m"), 1, lambda outcome: None)


def test_files_go_out_and_outcomes_come_back(pictures: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeRay()
    monkeypatch.setattr(ray_files, "_ray", lambda: fake)
    opened: list[bytes] = []

    def open_network(path: Path, threads: int) -> Nearest:
        opened.append(path.read_bytes())
        return Nearest()

    monkeypatch.setattr(ray_files, "open_network", open_network)
    monkeypatch.setattr(ray_files, "_open", {})
    for name in ("a.png", "b.png"):
        Image.fromarray(colours(5, 6)).save(pictures / name)
    (pictures / "c.png").write_bytes(b"no picture")
    monkeypatch.chdir(pictures.parent)
    made = plan(["pictures"], "out", 2, None)
    half = made.jobs[0].target.parent
    half.mkdir()
    (half / f"{target.PREFIX}{'t' * 8}-elsewhere-1-0").touch()
    told: list[Outcome] = []
    ticks: list[int] = []
    how = How("x2, model abc", root=made.root, token="t" * 8)
    outcomes = ray_files.run_on_ray(model, made.jobs, how, 2, told.append, ticks.append, address="ray://there")
    assert [(outcome.job, outcome.state) for outcome in outcomes] == list(zip(made.jobs, ["done", "done", "failed"]))
    assert sorted(outcome.line() for outcome in told) == sorted(outcome.line() for outcome in outcomes)
    assert sum(ticks) == 2 * 10 * 12
    assert opened == [b"a network"]  # once per worker
    assert fake.options_seen == [{"max_retries": -1, "num_cpus": 2}]
    assert fake.how["address"] == "ray://there"
    assert fake.down
    assert sorted(os.listdir("out")) == ["a_x2.png", "b_x2.png"]


def test_what_ray_cannot_do_again_is_a_failure(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeRay()
    monkeypatch.setattr(ray_files, "_ray", lambda: fake)

    def do_file(*arguments: Any) -> Outcome:
        raise Fault("the object\nis lost")

    monkeypatch.setattr(ray_files, "do_file", do_file)
    (outcome,) = ray_files.run_on_ray(model, [Job(Path("a.png"), Path("b.png"))], How("m"), 1, lambda outcome: None)
    assert (outcome.state, outcome.why, outcome.exit_code) == ("failed", "Ray: is lost", 6)


def _add_node(cluster: Any, num_cpus: int) -> Any:
    """A node with few helpers; tried again, since Ray gives these fifteen seconds to start, which a busy machine may lack."""
    small = {"object_store_memory": 80 * 2**20, "include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
    for _ in range(9):
        try:
            return cluster.add_node(num_cpus=num_cpus, **small)
        except Exception as fault:
            if "timed out during startup" not in str(fault):
                raise
    pytest.fail("no Ray node comes up on this machine")


@pytest.mark.nightly
@pytest.mark.skipif(not HAS_RAY, reason="Ray is not installed: pip install 'qsr[ray]'")
@pytest.mark.timeout(1500)
def test_a_node_is_killed_and_its_files_are_done_by_the_other(tmp_path: Path, pictures: Path) -> None:
    import ray
    from ray.cluster_utils import Cluster

    sys.path.insert(0, str(REPOSITORY / "tests" / "runtime" / "packed"))
    from build import conv_net
    from qsr.runtime.model import load
    from qsr.runtime.packed.container import write

    model = tmp_path / "net.qsr"
    write(model, *conv_net("w2a2", features=8, blocks=1))
    number = 10
    for i in range(number):
        Image.fromarray(colours(160, 200, seed=i)).save(pictures / f"{i:02}.png")
    out = tmp_path / "out"
    made = plan([str(pictures)], str(out), load(model).scale, None)
    how = How(mark(model, load(model).scale, None, False), root=made.root, token=new_token())
    cluster = Cluster()
    _add_node(cluster, num_cpus=0)  # the head, which takes no files
    nodes = [_add_node(cluster, num_cpus=1) for _ in range(2)]
    killed: list[int] = []

    def kill_in_the_middle() -> None:
        # both nodes have a file under their hands from the first to the last but one; the first result says that they run
        while not (out.is_dir() and list(out.glob("*.png"))):
            time.sleep(0.01)
        killed.append(len(list(out.glob("*.png"))))
        cluster.remove_node(nodes[0], allow_graceful=False)

    killer = threading.Thread(target=kill_in_the_middle, daemon=True)
    killer.start()
    told: list[Outcome] = []
    try:
        # the numpy interpreter: slow enough to be met at work
        where = {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "QSR_BACKEND": "numpy"}
        outcomes = ray_files.run_on_ray(model, made.jobs, how, 1, told.append, address=cluster.address, environment=where)
    finally:
        killer.join(10)
        ray.shutdown()
        cluster.shutdown()
    assert killed
    assert killed[0] < number - 2
    assert [outcome.state for outcome in outcomes] == ["done"] * number, [outcome.line() for outcome in outcomes]
    # a worker may outlive its node for a moment, and leave a hidden file after the end: the next run removes it
    assert sorted(path.name for path in out.glob("[!.]*")) == [f"{i:02}_x{load(model).scale}.png" for i in range(number)]
    expected = next(iter(load(model).rows([colours(160, 200, seed=3)], 200, 160)))
    assert np.abs(read_image(out / f"03_x{load(model).scale}.png")[: len(expected)].astype(int) - expected).max() <= 1
