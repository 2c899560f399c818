"""Trainings that are there already under another name or in another leaderboard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qsr.bibench import reuse
from qsr.bibench.rows import Network
from qsr.bibench.run import Run
from qsr.errors import FormatError
from qsr.leaderboard.lease import Lease
from qsr.leaderboard.work import IDENTITY_FILE, read_result
from tests.bibench.bench_drill import running, store_model
from tests.leaderboard.board_drill import store as store_row

BNN = Network("bnn", "cnn", 2, 0)


def trained(folder: Path, data: Path, **changes: Any) -> Run:
    """A benchmark whose first network was trained: experiment, identity, result with a kept picture."""
    run, _ = running(folder, data, **changes)
    task, session = run.work.task(BNN), run.sessions["x2"]
    store_model(run.work, BNN)
    (task.folder / IDENTITY_FILE).write_text(json.dumps(session.jobs[task.name].identity.to_json()))
    (task.folder / "LOCK").write_text("")
    pictures = {"Held/0": f"pictures/{task.name}/Held_0.png"}
    (task.out / pictures["Held/0"]).parent.mkdir(parents=True)
    (task.out / pictures["Held/0"]).write_bytes(b"png")
    store_row(session, task, 36.5, self_ensemble=False, pictures=pictures, test_command="of the first")
    return run


def other(tmp_path: Path, data: Path, **changes: Any) -> tuple[Run, list[str]]:
    folder = tmp_path / "other"
    folder.mkdir()
    return running(folder, data, operators=[{"operator": "renamed", "set": {"quant.method": "bnn"}}], **changes)


def test_an_equal_training_is_copied_under_the_new_name(data: Path, tmp_path: Path) -> None:
    first = trained(tmp_path, data)
    run, said = other(tmp_path, data)
    session, task = run.sessions["x2"], run.work.task(Network("renamed", "cnn", 2, 0))
    reuse.take(session, session.plan.tasks, (first.work.out,), said.append)
    assert session.finished(task)
    found = read_result(task)
    assert found is not None
    assert (found["task"], found["train_command"]) == ("renamed_cnn_s0", task.train_command)
    measure = found["measures"][0]
    assert measure["scores"]["Held"]["psnr_y"] == 36.5
    assert "renamed_cnn_s0" in measure["test_command"]
    assert (task.out / measure["pictures"]["Held/0"]).read_bytes() == b"png"
    assert "renamed_cnn_s0" in measure["pictures"]["Held/0"]
    assert (task.folder / "models" / "net_g_latest.safetensors").is_file()
    assert not (task.folder / "LOCK").exists()
    assert said == [f"renamed_cnn_s0: the same as {first.work.task(BNN).folder}, copied"]
    assert [t.name for t in session.plan.tasks if session.finished(t)] == ["renamed_cnn_s0"]


def test_with_other_sets_the_experiment_is_copied_and_the_result_is_not(data: Path, tmp_path: Path) -> None:
    first = trained(tmp_path, data)
    run, said = other(tmp_path, data, sets=["Held"])
    session, task = run.sessions["x2"], run.work.task(Network("renamed", "cnn", 2, 0))
    reuse.take(session, session.plan.tasks, (first.work.out,), said.append)
    assert not session.finished(task)
    assert read_result(task) is None
    assert (task.folder / IDENTITY_FILE).is_file(), "so that it is measured, and not trained again"
    assert len(said) == 1


def test_another_budget_is_another_training(data: Path, tmp_path: Path) -> None:
    first = trained(tmp_path, data)
    run, said = other(tmp_path, data, budget={"iterations": 5, "start_iterations": 6, "batch": 2, "lq_patch": 6})
    reuse.take(run.sessions["x2"], run.sessions["x2"].plan.tasks, (first.work.out,), said.append)
    assert said == []
    assert not run.work.task(Network("renamed", "cnn", 2, 0)).folder.exists()


def test_a_row_that_somebody_works_on_is_left_to_them(data: Path, tmp_path: Path) -> None:
    first = trained(tmp_path, data)
    run, said = other(tmp_path, data)
    task = run.work.task(Network("renamed", "cnn", 2, 0))
    lease = Lease(task.out / "locks", task.name)
    assert lease.acquire()
    with lease:
        reuse.take(run.sessions["x2"], [task], (first.work.out,), said.append)
    assert said == []
    assert not task.folder.exists()


def test_what_an_interrupted_copy_left_is_replaced(data: Path, tmp_path: Path) -> None:
    first = trained(tmp_path, data)
    run, said = other(tmp_path, data)
    task = run.work.task(Network("renamed", "cnn", 2, 0))
    (task.folder / "models").mkdir(parents=True)
    (task.folder / "models" / "half.safetensors").write_text("half")
    reuse.take(run.sessions["x2"], [task], (first.work.out,), said.append)
    assert not (task.folder / "models" / "half.safetensors").exists()
    assert run.sessions["x2"].finished(task)


def test_results_without_their_experiment_and_damaged_ones(data: Path, tmp_path: Path) -> None:
    first = trained(tmp_path, data)
    run, said = other(tmp_path, data)
    task = first.work.task(BNN)
    (task.folder / IDENTITY_FILE).unlink()
    reuse.take(run.sessions["x2"], run.sessions["x2"].plan.tasks, (first.work.out,), said.append)
    assert said == []
    task.result_file.write_text("{")
    with pytest.raises(FormatError, match="not a result"):
        reuse.take(run.sessions["x2"], run.sessions["x2"].plan.tasks, (first.work.out,), said.append)
