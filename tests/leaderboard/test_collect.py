"""The JSON of the leaderboard: every field of its format, from results that need no training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from board_drill import BOARD, plan, store

from qsr.leaderboard import collect
from qsr.leaderboard.run import Session
from qsr.leaderboard.work import read_result

ROWS: list[dict[str, Any]] = BOARD["rows"]


def session_of(folder: Path, data: Path, **changes: Any) -> Session:
    return Session(plan(folder, data, sets=["Set5", "Held"], pictures=["Held/0"], **changes))


def row(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in found["rows"] if one["row"] == name)


def test_done_failed_and_missing_rows(tmp_path: Path, data: Path) -> None:
    session = session_of(tmp_path, data)
    tasks = session.plan.by_name
    store(session, tasks["rlq_w2a2_s0"], 36.0)
    store(session, tasks["rlq_w2a2_s1"], 36.5)
    store(session, tasks["lsq_w2a2_s0"], 35.0)
    store(session, tasks["lsq_w2a2_s1"], why="NaN at iteration 7")
    found = collect.write(session)
    assert json.loads((tmp_path / "out/leaderboard.json").read_text()) == found
    assert {(tmp_path / f"out/leaderboard.{form}").is_file() for form in ("csv", "md")} == {True}
    assert (found["format"], found["name"], found["scale"], found["sets"]) == (1, "tiny", 2, ["Set5", "Held"])
    assert found["budget"] == {"iterations": 4, "fp_iterations": 6, "batch": 2, "lq_patch": 6}
    assert found["hours"] == pytest.approx(90 / 3600, abs=1e-3)
    assert [one["row"] for one in found["rows"]] == ["rlq_w2a2", "fp", "lsq_w2a2"]

    rlq = row(found, "rlq_w2a2")
    assert (rlq["status"], rlq["why"], rlq["method"], rlq["w_bits"], rlq["group"]) == ("done", "", "rlq", 2, "w2a2")
    assert rlq["mean"]["Set5"] == {"psnr_y": 36.25, "ssim_y": 0.9, "psnr_spread": 0.5}
    assert rlq["published_as"] == rlq["label"] == "QuantSR-C"
    assert rlq["published"]["Set5"]["psnr"] == 37.57
    assert "Held" not in rlq["published"]
    assert (rlq["params_k"], rlq["ops_g"], rlq["bits"], rlq["milliseconds"]) == (1.5, 0.25, 48000, None)
    seed = rlq["seeds"][1]
    assert (seed["seed"], seed["experiment"], seed["seconds"], seed["curve"]) == (1, "rows/rlq_w2a2_s1", 30.0, [[1, 0.5]])
    assert seed["options_hash"] == session.jobs["rlq_w2a2_s1"].identity.options

    lsq = row(found, "lsq_w2a2")
    assert (lsq["status"], lsq["why"], lsq["note"]) == ("failed", "NaN at iteration 7", "the baseline")
    assert lsq["mean"]["Set5"] == {"psnr_y": 35.0, "ssim_y": 0.9, "psnr_spread": None}
    assert lsq["published"] == {}

    fp = row(found, "fp")
    assert (fp["status"], fp["mean"], fp["params_k"], fp["pictures"]) == ("missing", {}, None, {})
    assert (fp["method"], fp["w_bits"], fp["published_as"]) == ("fp", 32, "SRResNet")
    assert fp["seeds"][0]["train_command"].startswith("qsr train -opt ")
    assert fp["seeds"][0]["scores"] == {}


def test_the_page_reads_it(tmp_path: Path, data: Path) -> None:
    from qsr.report.board import read_board

    session = session_of(tmp_path, data)
    store(session, session.plan.by_name["fp_s0"], 36.0)
    collect.write(session)
    board = read_board(tmp_path / "out")
    assert [one.name for one in board.rows] == ["rlq_w2a2", "fp", "lsq_w2a2"]


def test_depths_and_the_ensemble_are_rows_of_their_own(tmp_path: Path, data: Path) -> None:
    rows = [ROWS[1], {**ROWS[0], "depths": [2, 1], "ensemble": True, "published_as": "QuantSR-C"}]
    found = collect.collect(session_of(tmp_path, data, rows=rows))
    names = [(one["row"], one["depth"], one["self_ensemble"]) for one in found["rows"]]
    assert names == [("fp", None, False), ("rlq_w2a2@2", 2, False), ("rlq_w2a2@1", 1, False), ("rlq_w2a2@2+", 2, True)]
    assert row(found, "rlq_w2a2@2")["label"] == "QuantSR-C, 2 blocks"
    assert row(found, "rlq_w2a2@2")["backbone"] == "SRResNet edsr 2x4"


def test_other_code_is_told(tmp_path: Path, data: Path) -> None:
    session = session_of(tmp_path, data)
    task = session.plan.by_name["fp_s0"]
    store(session, task, 36.0)
    stored = read_result(task)
    assert stored is not None
    stored["identity"] |= {"code": "0123456789ab", "training": "0123456789ab"}
    task.result_file.write_text(json.dumps(stored))
    strict = row(collect.collect(session_of(tmp_path, data)), "fp")
    assert strict["seeds"][0]["status"] == "done"
    assert strict["seeds"][0]["why"] == "made with other options, pictures or code"
    accepting = row(collect.collect(Session(session_of(tmp_path, data).plan, any_code=True)), "fp")
    assert accepting["seeds"][0]["why"] == ""
    assert accepting["note"] == "made by other code (0123456789ab)"
    assert accepting["seeds"][0]["code"] == "0123456789ab"


def test_bicubic_and_the_originals_are_made_once(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = session_of(tmp_path, data)
    first = collect.collect(session)
    assert set(first["bicubic"]) == {"Held"}
    assert first["pictures"]["Held/0"]["hr"] == "pictures/hr/Held_0.png"
    monkeypatch.setattr(collect, "baseline", lambda out, gauge: pytest.fail("computed again"))
    assert collect.collect(session)["bicubic"] == first["bicubic"]


def test_published_names(tmp_path: Path, data: Path) -> None:
    one_bit = {"quant": {"w_bits": 1, "a_bits": 1}}
    methods = {"bnn": "BNN", "irnet": "IRNet", "bireal": "Bi-Real", "reactnet": "ReActNet", "bam": "BAM", "xnor": None}
    rows = [{"row": name, "group": "w1a1", "set": {**one_bit, "quant.method": name}} for name in methods]
    rows.append({"row": "hidden", "group": "w1a1", "published_as": "", "set": {**one_bit, "quant.method": "bnn"}})
    mixer = {"network_g": {"type": "Mixer", "num_feat": 4, "num_block": 1}}
    rows.append({"row": "mixer", "group": "w1a1", "set": {**one_bit, **mixer, "quant.method": "bnn"}})
    found = collect.collect(session_of(tmp_path, data, rows=rows, groups={}))
    assert {one["row"]: one["published_as"] for one in found["rows"]} == {**methods, "hidden": None, "mixer": None}
    assert row(found, "bireal")["published"]["Set5"]["psnr"] == 32.32
    assert row(found, "bam")["approximate"] is True
