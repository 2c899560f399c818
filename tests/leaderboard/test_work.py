"""One task: trained, measured, stored; not again, but anew where anything that counts has changed."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from board_drill import BOARD, plan, store, stored

from qsr.errors import ExperimentBusy, FormatError, OptionsError
from qsr.leaderboard import work
from qsr.leaderboard.identity import code_of
from qsr.leaderboard.lease import Lease
from qsr.leaderboard.run import Session
from qsr.leaderboard.work import Job, finished, perform, read_result

pytestmark = pytest.mark.timeout(400)
ROWS: list[dict[str, Any]] = BOARD["rows"]


def jobs(folder: Path, data: Path, **changes: Any) -> dict[str, Job]:
    return Session(plan(folder, data, **changes)).jobs


def do(job: Job) -> None:
    lease = Lease(job.task.out / "locks", job.task.name)
    assert lease.acquire()
    with lease:
        perform(job, lease)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """fp_s0 and rlq_w2a2_s0, really trained."""
    folder = tmp_path_factory.mktemp("done")
    made = jobs(folder, data, rows=[ROWS[1], {**ROWS[0], "ensemble": True}])
    for name in ("fp_s0", "rlq_w2a2_s0"):
        # the sources may be edited while the tests run
        do(replace(made[name], any_code=True))
    return folder


def test_a_result_says_how_good_what_it_costs_and_where_it_is_from(done: Path, data: Path) -> None:
    found = stored(done / "out", "rlq_w2a2_s0")
    job = jobs(done, data, rows=[ROWS[1], {**ROWS[0], "ensemble": True}])["rlq_w2a2_s0"]
    assert (found["status"], found["why"], found["iterations"]) == ("done", "", 4)
    assert found["identity"]["options"] == job.identity.options
    assert found["train_command"] == job.task.train_command
    assert [point[0] for point in found["curve"]] == [1, 2, 3, 4]
    plain, ensemble = found["measures"]
    assert set(plain["scores"]) == {"Held", "Out"}
    assert 5 < plain["scores"]["Held"]["psnr_y"] < 60
    assert ensemble["scores"]["Held"]["psnr_y"] != plain["scores"]["Held"]["psnr_y"]
    assert (plain["w_bits"], plain["planes"], plain["average_bits"]) == (2, 1, None)
    assert plain["bits"] == round(32_000 * plain["params_k"])
    assert plain["backbone"] == "SRResNet edsr 2x4"
    assert any(row["w_bits"] == 2 for row in plain["layers"]["rows"])
    assert plain["pictures"] == {"Held/0": "pictures/rlq_w2a2_s0/Held_0.png"}
    assert (done / "out" / ensemble["pictures"]["Held/0"]).is_file()
    assert "--self-ensemble" in ensemble["test_command"]
    assert finished(job) or finished(replace(job, any_code=True))


def test_the_quantized_row_began_with_its_start(done: Path) -> None:
    log = (done / "out/rows/rlq_w2a2_s0/options.json").read_text()
    assert json.loads(log)["path"]["pretrain_network_g"] == str(done / "out/rows/fp_s0")


def test_what_is_finished_is_not_touched(done: Path, data: Path) -> None:
    job = replace(jobs(done, data, rows=[ROWS[1], {**ROWS[0], "ensemble": True}])["fp_s0"], any_code=True)
    before = job.task.result_file.stat().st_mtime_ns
    do(job)
    assert job.task.result_file.stat().st_mtime_ns == before


def test_an_experiment_that_was_moved_is_measured_again_and_not_resumed(done: Path, data: Path, tmp_path: Path) -> None:
    """Its checkpoint names the start at its old place, which a resumed run would refuse."""
    rows = [ROWS[1], {**ROWS[0], "ensemble": True}]
    for name in ("fp_s0", "rlq_w2a2_s0"):
        shutil.copytree(done / "out/rows" / name, tmp_path / "out/rows" / name)
    do(replace(jobs(tmp_path, data, rows=rows)["rlq_w2a2_s0"], any_code=True))
    before, after = (stored(folder / "out", "rlq_w2a2_s0") for folder in (done, tmp_path))
    assert [one["scores"] for one in before["measures"]] == [one["scores"] for one in after["measures"]]


def test_a_ptq_row_is_made_from_its_start_and_timed(done: Path, data: Path) -> None:
    few = {"method": "minmax", "patches": 4, "side": 8}
    row = {"row": "p", "kind": "ptq", "group": "w2a2", "set": {"quant.method": "lsq", "ptq": few}}
    do(replace(jobs(done, data, rows=[ROWS[1], row])["p_s0"], any_code=True))
    found = stored(done / "out", "p_s0")
    assert (found["status"], found["iterations"], found["curve"]) == ("done", 0, [])
    assert found["seconds"] > 0
    assert (found["measures"][0]["w_bits"], found["measures"][0]["a_bits"]) == (2, 2)
    assert found["measures"][0]["test_command"].startswith(f"qsr test {done / 'out/rows/p_s0/ptq.safetensors'} ")


def test_a_job_survives_json(done: Path, data: Path) -> None:
    for job in jobs(done, data).values():
        again = Job.from_json(json.loads(json.dumps(job.to_json())))
        assert again == replace(job, task=again.task)
        assert (again.task.options, again.task.name, again.task.start) == (job.task.options, job.task.name, job.task.start)
        assert again.task.train_command == job.task.train_command


def test_sources_that_changed_since_the_plan_are_refused(tmp_path: Path, data: Path) -> None:
    job = jobs(tmp_path, data)["fp_s0"]
    old = replace(job, identity=replace(job.identity, training="0" * 12))
    with pytest.raises(OptionsError, match="sources changed.*--any-code"):
        do(old)
    assert read_result(old.task) is None


def begun(job: Job, **changes: str) -> Path:
    """An experiment folder that looks as if training had begun with another identity."""
    folder = job.task.folder
    (folder / "checkpoints" / "00000002").mkdir(parents=True)
    (folder / "LOCK").touch()
    (folder / work.IDENTITY_FILE).write_text(json.dumps({**job.identity.to_json(), **changes}))
    return folder


@pytest.mark.parametrize(
    ("changes", "any_code", "kept"),
    [
        ({}, False, True),
        ({"code": "measured otherwise"}, False, True),
        ({"training": "000000000000"}, False, False),
        ({"training": "000000000000"}, True, True),
        ({"options": "000000000000"}, True, False),
        ({"data": "000000000000"}, True, False),
    ],
)
def test_what_was_begun_otherwise_starts_again(
    tmp_path: Path, data: Path, changes: dict[str, str], any_code: bool, kept: bool
) -> None:
    job = replace(jobs(tmp_path, data)["fp_s0"], any_code=any_code)
    folder = begun(job, **changes)
    identity = work._begin(job, job.identity)
    assert (folder / "checkpoints").is_dir() is kept
    assert (folder / "LOCK").is_file()
    now = json.loads((folder / work.IDENTITY_FILE).read_text())
    # the weights are those of the code that began them, and the result says so
    assert (
        identity.training
        == now["training"]
        == (changes.get("training", job.identity.training) if kept else job.identity.training)
    )


def test_a_crash_while_clearing_leaves_a_folder_that_is_cleared_again(tmp_path: Path, data: Path) -> None:
    job = jobs(tmp_path, data)["fp_s0"]
    folder = begun(job)
    (folder / work.IDENTITY_FILE).unlink()
    work._begin(job, job.identity)
    assert not (folder / "checkpoints").exists()


def test_without_the_lease_nothing_is_stored(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = replace(jobs(tmp_path, data)["fp_s0"], any_code=True)
    lease = Lease(job.task.out / "locks", job.task.name)
    monkeypatch.setattr(work, "_make_network", lambda task: None)
    monkeypatch.setattr(work, "measure", lambda task, gauge: [])
    with pytest.raises(ExperimentBusy, match="taken this row over"):
        perform(job, lease)
    assert read_result(job.task) is None


def test_a_damaged_result_is_an_error_not_a_missing_one(tmp_path: Path, data: Path) -> None:
    session = Session(plan(tmp_path, data))
    task = session.plan.by_name["fp_s0"]
    store(session, task, 30.0)
    text = task.result_file.read_text()
    for damaged in (text[: len(text) // 2], "[]", text.replace('"format": 1', '"format": 2')):
        task.result_file.write_text(damaged)
        with pytest.raises(FormatError):
            read_result(task)


def test_code_is_told_apart_by_what_the_row_uses(tmp_path: Path, data: Path) -> None:
    made = jobs(tmp_path, data)
    codes = {code_of(made[name].task)[0] for name in ("rlq_w2a2_s0", "lsq_w2a2_s0", "fp_s0")}
    assert len(codes) == 3
    assert os.path.basename(str(made["fp_s0"].task.result_file)) == "fp_s0.json"
