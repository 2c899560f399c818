"""Files on a Ray cluster. The drill with two nodes, one of which is killed, needs Ray and runs nightly."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from upscale_fakes import Nearest, colours

from qsr import cluster
from qsr.data.image import read_image
from qsr.errors import EnvironmentFault
from qsr.runtime.model import load
from qsr.runtime.packed.container import write
from qsr.upscale import ray_files, target
from qsr.upscale.batch import How, Outcome, new_token
from qsr.upscale.choose import mark
from qsr.upscale.names import Job, plan
from tests.ray_nodes import children, frozen, kill, needs_ray, two_nodes, wait_for
from tests.runtime.packed.build import conv_net

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
    monkeypatch.setattr(cluster, "ray", lambda: fake)
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
    monkeypatch.setattr(cluster, "ray", lambda: fake)

    def do_file(*arguments: Any) -> Outcome:
        raise Fault("the object\nis lost")

    monkeypatch.setattr(ray_files, "do_file", do_file)
    (outcome,) = ray_files.run_on_ray(model, [Job(Path("a.png"), Path("b.png"))], How("m"), 1, lambda outcome: None)
    assert (outcome.state, outcome.why, outcome.exit_code) == ("failed", "Ray: is lost", 6)


@pytest.mark.nightly
@needs_ray
@pytest.mark.timeout(1500)
def test_a_node_is_killed_and_its_files_are_done_by_the_other(tmp_path: Path, pictures: Path) -> None:
    model = tmp_path / "net.qsr"
    write(model, *conv_net("w2a2", features=8, blocks=1))
    scale = load(model).scale
    number = 10
    for i in range(number):
        Image.fromarray(colours(160, 200, seed=i)).save(pictures / f"{i:02}.png")
    out = tmp_path / "out"
    made = plan([str(pictures)], str(out), scale, None)
    how = How(mark(model, scale, None, False), root=made.root, token=new_token())
    targets = {f"ray::{job.source.name}": job.target for job in made.jobs}
    told: list[Outcome] = []
    killed: list[int] = []

    with two_nodes() as (ray_cluster, nodes):

        def kill_a_node_at_work() -> bool:
            for raylet, node in nodes.items():
                for worker, title in children(raylet).items():
                    if title not in targets:
                        continue
                    with frozen(worker):
                        if targets[title].exists():  # done while one looked: not in its hands any more
                            continue
                        killed.append(len(list(out.glob("*.png"))))
                        ray_cluster.remove_node(node, allow_graceful=False)
                        # Ray kills the raylet, whose workers end when they notice; those of a dead machine end with it
                        kill(worker)
                        return True
            return False

        def tell(outcome: Outcome) -> None:
            told.append(outcome)
            # the first result says that they run; most files are not begun yet, so that one is soon in somebody's hands
            if len(told) == 1:
                wait_for("a worker with an unfinished file", kill_a_node_at_work)

        # the numpy interpreter: slow enough to be met at work
        where = {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "QSR_BACKEND": "numpy"}
        outcomes = ray_files.run_on_ray(model, made.jobs, how, 1, tell, address=ray_cluster.address, environment=where)
    assert len(killed) == 1
    assert 0 < killed[0] < number - 2
    assert [outcome.state for outcome in outcomes] == ["done"] * number, [outcome.line() for outcome in outcomes]
    # nothing hidden either: what the killed worker was writing is removed at the end
    assert sorted(path.name for path in out.iterdir()) == [f"{i:02}_x{scale}.png" for i in range(number)]
    expected = next(iter(load(model).rows([colours(160, 200, seed=3)], 200, 160)))
    assert np.abs(read_image(out / f"03_x{scale}.png")[: len(expected)].astype(int) - expected).max() <= 1
