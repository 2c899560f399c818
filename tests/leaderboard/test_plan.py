"""Rows and seeds become tasks: their options, their order, who does which, and the command that repeats each."""

from __future__ import annotations

import itertools
import shlex
from pathlib import Path
from typing import Any

import pytest
from board_drill import BOARD, plan, write_board

from qsr.errors import DataError, OptionsError
from qsr.leaderboard.plan import Plan, flatten, make
from qsr.options import load, options_hash

ROWS: list[dict[str, Any]] = BOARD["rows"]


def names(made: Plan) -> list[str]:
    return [task.name for task in made.mine]


def test_starts_come_first_and_seeds_one_after_the_other(tmp_path: Path, data: Path) -> None:
    six = ["fp_s0", "rlq_w2a2_s0", "lsq_w2a2_s0", "fp_s1", "rlq_w2a2_s1", "lsq_w2a2_s1"]
    assert names(plan(tmp_path, data)) == six


def test_a_row_is_the_shared_start_budget_and_its_own_settings(tmp_path: Path, data: Path) -> None:
    made = plan(tmp_path, data)
    fp, rlq = made.by_name["fp_s1"], made.by_name["rlq_w2a2_s1"]
    assert rlq.start == "fp_s1"
    assert rlq.options.path.pretrain_network_g == str(fp.folder)
    assert (rlq.iterations, fp.iterations) == (4, 6)
    assert rlq.options.quant is not None
    assert (rlq.options.quant.method, rlq.options.quant.w_bits) == ("rlq", 2)
    assert fp.options.quant is None
    assert rlq.options.manual_seed == fp.options.manual_seed == 1
    train = rlq.options.datasets["train"]
    assert (train.gt_size, train.batch_size_per_gpu, train.dataroot_gt) == (12, 2, str(data / "Few"))
    assert rlq.options.val.val_freq is None


def test_the_command_is_what_is_trained(tmp_path: Path, data: Path) -> None:
    task = plan(tmp_path, data).by_name["lsq_w2a2_s0"]
    words = shlex.split(task.train_command)
    assert words[:3] == ["qsr", "train", "-opt"]
    typed = load(words[3], [text for flag, text in itertools.pairwise(words) if flag == "--set"])
    assert typed.options == task.options
    assert "quant.method=lsq" in words


def test_a_budget_changes_what_has_a_start_only(tmp_path: Path, data: Path) -> None:
    rows = [*ROWS, {"row": "fp_long", "group": "fp", "length": "both"}]
    made = plan(tmp_path, data, {"budget": 9}, rows=rows)
    assert {task.row.row: task.iterations for task in made.tasks} == {"fp": 6, "rlq_w2a2": 9, "lsq_w2a2": 9, "fp_long": 15}


def test_only_takes_rows_and_groups_and_brings_their_starts(tmp_path: Path, data: Path) -> None:
    assert names(plan(tmp_path, data, {"only": ["lsq*"]}, seeds=[0])) == ["fp_s0", "lsq_w2a2_s0"]
    assert names(plan(tmp_path, data, {"only": ["fp"]}, seeds=[0])) == ["fp_s0"]
    assert len(names(plan(tmp_path, data, {"only": ["w2a2"]}, seeds=[0]))) == 3
    assert names(plan(tmp_path, data, {"only": ["rlq_w2a2_s1"]})) == ["fp_s1", "rlq_w2a2_s1"]
    with pytest.raises(OptionsError, match="no such row or group.*fp"):
        plan(tmp_path, data, {"only": ["srb"]})


def test_shards_share_all_tasks_without_overlap(tmp_path: Path, data: Path) -> None:
    parts = [names(plan(tmp_path, data, {"shard": (i, 4)})) for i in (1, 2, 3, 4)]
    assert sorted(itertools.chain(*parts)) == sorted(names(plan(tmp_path, data)))
    # whichever rows are chosen, a task stays its shard's
    chosen = [names(plan(tmp_path, data, {"shard": (i, 4), "only": ["lsq*"]})) for i in (1, 2, 3, 4)]
    assert all(set(few) <= set(part) for few, part in zip(chosen, parts))


def test_rows_that_do_not_resolve_are_told_together_with_their_lines(tmp_path: Path, data: Path) -> None:
    rows = [ROWS[1], {**ROWS[0], "set": {"quant.method": "rlk"}}, {**ROWS[2], "options": "gone_x{scale}.yml"}]
    with pytest.raises(OptionsError) as caught:
        plan(tmp_path, data, rows=rows)
    text = str(caught.value)
    assert "board.yml:" in text
    assert "row rlq_w2a2: --set  quant.method: found 'rlk'" in text
    assert "gone_x2.yml" in text


def test_a_ptq_row_is_made_by_qsr_ptq_from_its_start(tmp_path: Path, data: Path) -> None:
    row = {
        "row": "p",
        "kind": "ptq",
        "group": "w2a2",
        "set": {"quant.method": "lsq", "ptq": {"method": "mse", "rounding": True}},
    }
    task = plan(tmp_path, data, rows=[ROWS[1], row]).by_name["p_s0"]
    words = shlex.split(task.train_command)
    assert words[:3] == ["qsr", "ptq", str(tmp_path / "out/rows/fp_s0")]
    assert words[3:11] == ["--w-bits", "2", "--a-bits", "2", "--quantizer", "lsq", "--seed", "0"]
    assert words[11:15] == ["--calibration", str(data / "Few"), "-o", str(tmp_path / "out/rows/p_s0/ptq.safetensors")]
    assert words[15:] == ["--method", "mse", "--rounding"]
    assert task.iterations == 0


def test_missing_pictures_are_a_data_error(tmp_path: Path, data: Path) -> None:
    with pytest.raises(DataError, match="'Many'.*--data-root"):
        make(write_board(tmp_path, train_set="Many"), data_root=data)
    named = make(write_board(tmp_path, train_set=str(data / "Held")), data_root=tmp_path)
    assert named.tasks[0].options.datasets["train"].dataroot_gt == str(data / "Held")


def test_sections_and_dotted_keys_mean_the_same() -> None:
    assert flatten({"quant": {"method": "rlq", "settings": {}}}) == {"quant.method": "rlq", "quant.settings": {}}


@pytest.mark.parametrize("scale", [2, 4])
def test_the_ready_files_resolve(repository: Path, tmp_path: Path, data: Path, scale: int) -> None:
    made = make(repository / f"options/leaderboard/small_x{scale}.yml", tmp_path, data_root=_named(data, tmp_path))
    assert len(made.tasks) == 2 * len(made.board.rows)
    assert all(task.options.scale == scale and task.options.datasets["train"].gt_size == 24 * scale for task in made.tasks)
    methods = {task.options.quant.method for task in made.tasks if task.options.quant}
    assert {"rlq", "lsq", "lsq_plus", "dorefa", "pams", "cadyq", "srb", "bnn", "irnet", "reactnet", "bam", "btm"} <= methods
    # no two rows of one seed are the same experiment under two names
    hashes = [options_hash(task.options) for task in made.tasks if task.seed == 0 and task.row.kind == "train"]
    assert len(set(hashes)) == len(hashes)


def _named(data: Path, folder: Path) -> Path:
    (folder / "train").mkdir()
    (folder / "train" / "BSD400").symlink_to(data / "Few")
    return folder
