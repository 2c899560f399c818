"""A benchmark from nothing to its tables; what is skipped, what waits, what fails alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qsr.bibench import cells as cells_of
from qsr.bibench import collect, run
from qsr.bibench.cells import Cell
from qsr.bibench.rows import Network
from qsr.bibench.run import How, Run
from qsr.errors import OptionsError
from qsr.leaderboard.lease import Lease
from tests.bibench.bench_drill import BENCH, running, store, store_cell, store_model, work

ONE = {"cnn": BENCH["families"]["cnn"]}
SAME = [BENCH["operators"][0], {"operator": "same", "set": {"quant.method": "bnn"}}]


@pytest.mark.timeout(300)
def test_trainings_then_cells_then_nothing(data: Path, tmp_path: Path) -> None:
    how = How(("task", "robust", "comp", "infer"))
    first, said = running(tmp_path, data, how, families=ONE, operators=SAME)
    first.train()
    begun = [line.partition(":")[0] for line in said if "begins" in line]
    assert begun == ["start_cnn_s0", "fp_cnn_s0", "bnn_cnn_s0"], "what is the same is trained once"
    assert any(line.startswith("same_cnn_s0: the same as") for line in said)
    first.measure()
    assert first.failed == {}
    found = collect.write(first)
    ours, again = (one["metrics"]["psnr"] for one in found["operators"])
    assert ours["task"]["value"] is not None
    assert ours["infer"]["value"] is not None
    assert {name: cell for name, cell in ours.items() if "infer" not in name} == {
        name: cell for name, cell in again.items() if "infer" not in name
    }
    networks = {network["operator"]: network for network in found["networks"]}
    assert "same_cnn_s0" in networks["same"]["train_command"]

    second, said = running(tmp_path, data, how, families=ONE, operators=SAME)
    second.train()
    second.measure()
    assert not any("begins" in line or "copied" in line for line in said)
    assert said[-1] == "0 cells to measure"
    third, said = running(tmp_path, data, how, families=ONE, operators=SAME)
    before = (tmp_path / "out/cells/robust/bicubic_x2.json").stat().st_mtime_ns
    third.measure(["robust/bicubic*"])
    assert (tmp_path / "out/cells/robust/bicubic_x2.json").stat().st_mtime_ns > before
    assert said == ["1 cells to measure", "robust/bicubic_x2: done"]


def test_another_leaderboards_rows_count(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Path, ...]] = []
    monkeypatch.chdir(tmp_path)
    (tmp_path / run.SIDE).mkdir(parents=True)
    monkeypatch.setattr(run.reuse, "take", lambda session, tasks, folders, tell: asked.append(tuple(folders)))
    monkeypatch.setattr(run.rows_run, "execute", lambda session, jobs, **how: None)
    found, _ = running(tmp_path, data, How(("task",), reuse=(Path("elsewhere"),)))
    found.train()
    assert asked == [(found.work.out, Path("elsewhere"), run.SIDE)], "the grid is for the training track only"


def test_complexity_alone_trains_nothing(data: Path, tmp_path: Path) -> None:
    found, said = running(tmp_path, data, How(("comp",)))
    found.train()
    assert said == []
    assert not (found.work.out / "x2" / "rows").exists()
    assert collect.collect(found)["operators"][0]["metrics"]["psnr"]["comp"]["value"] > 1


def test_cells_wait_for_their_networks_and_fail_alone(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, said = running(tmp_path, data, How(("robust",)))
    for operator in ("fp", "bnn"):
        network = Network(operator, "cnn", 2, 0)
        store(found, network, 33.0)
    store_model(found.work, Network("fp", "cnn", 2, 0))  # the other's model file is missing
    found.measure()
    assert said[0] == "3 cells to measure, 5 wait for their networks"
    assert "robust/fp_cnn_x2_s0: done" in said
    assert list(found.failed) == ["robust/bnn_cnn_x2_s0"]
    assert "no such file or experiment" in found.failed["robust/bnn_cnn_x2_s0"]
    states = {cell.name: found.status(cell) for cell in found.cells()}
    assert states["fp_cnn_x2_s0"] == "done"
    assert states["bnn_cnn_x2_s0"] == "missing"
    assert states["xnor_cnn_x2_s0"] == "waiting"


def quick(cell: Cell, command: str) -> None:
    store_cell(cell, {"by": command})


@pytest.mark.timeout(120)
def test_several_processes_measure_the_same(data: Path, tmp_path: Path) -> None:
    setting = {"sets": ["Held"], "kinds": ["brightness"], "severities": [2]}
    changes: dict[str, Any] = {"scales": [2, 4], "robust": setting}
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, _ = running(tmp_path / "a", data, How(("robust",)), **changes)
    two, said = running(tmp_path / "b", data, How(("robust",), jobs=2), **changes)
    one.measure()
    two.measure()
    assert two.failed == {}
    assert sorted(said[1:]) == ["robust/bicubic_x2: done", "robust/bicubic_x4: done"]
    for scale in (2, 4):
        cells = [next(c for c in run.cells() if c.name == f"bicubic_x{scale}") for run in (one, two)]
        first, second = (cells_of.read(cell) for cell in cells)
        assert first is not None
        assert second is not None
        assert first["values"] == second["values"]


def test_shards_share_the_cells_without_a_gap(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells_of, "perform", quick)
    whole = work(tmp_path, data)
    for network in whole.networks():
        store_model(whole, network)
    told: list[str] = []
    for number in (1, 2, 3):
        part = Run(
            replace(whole, plans={n: replace(p, shard=(number, 3)) for n, p in whole.plans.items()}),
            How(("robust",)),
            told.append,
        )
        for network in whole.networks():
            store(part, network, 33.0)
        part.measure()
    done = [line for line in told if line.endswith(": done")]
    assert len(done) == len(set(done)) == 8


def test_a_cell_that_somebody_measures_is_left_to_them(data: Path, tmp_path: Path) -> None:
    found, _ = running(tmp_path, data, How(("robust",)))
    lease = Lease(found.work.out / "locks", "robust.bicubic_x2")
    assert lease.acquire()
    with lease:
        found.measure(["robust/bicubic_x2"])
    assert "left to process" in found.failed["robust/bicubic_x2"]


def test_a_pattern_that_fits_no_cell(data: Path, tmp_path: Path) -> None:
    found, _ = running(tmp_path, data)
    with pytest.raises(OptionsError, match="no such cell"):
        found.measure(["robust/nothing"])


def test_times_are_taken_one_by_one_whatever_the_jobs(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = running(tmp_path, data, How(("robust", "infer"), jobs=4))
    for network in found.work.networks():
        store(found, network, 33.0)
    asked: dict[str, list[str]] = {"together": [], "alone": []}
    monkeypatch.setattr(found, "_in_processes", lambda todo: asked["together"].extend(cell.kind for cell in todo))
    monkeypatch.setattr(found, "_one_by_one", lambda todo: asked["alone"].extend(cell.kind for cell in todo))
    found.measure()
    assert set(asked["together"]) == {"robust"}
    assert set(asked["alone"]) == {"infer"}
