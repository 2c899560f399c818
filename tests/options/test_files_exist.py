"""Folders and files that an option file names, against the disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from qsr.errors import OptionsError
from qsr.options import check_files, load


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_everything_missing_is_named_with_place_and_remedy(valid: Path, tmp_path: Path) -> None:
    resolved = load(
        valid,
        ["datasets.val_2={dataroot_gt: datasets/Set5/HR, meta_info_file: m.txt}", "path.pretrain_network_g=experiments/fp"],
    )
    with pytest.raises(OptionsError) as caught:
        check_files(resolved, ("train", "val"))
    assert caught.value.exit_code == 2
    assert caught.value.problems == (
        f"--set  datasets.val_2.dataroot_gt: no folder datasets/Set5/HR in {tmp_path}; make it with `qsr data add Set5`, "
        "or point to yours with --set datasets.val_2.dataroot_gt=FOLDER",
        f"--set  datasets.val_2.meta_info_file: no file m.txt in {tmp_path}; leave it out to use every picture",
        f"--set  path.pretrain_network_g: nothing at experiments/fp in {tmp_path}; train it first, or name another with "
        "--set path.pretrain_network_g=FILE",
        f"{valid}:5  datasets.train.dataroot_gt: no folder data/HR in {tmp_path}; point to yours with "
        "--set datasets.train.dataroot_gt=FOLDER",
    )


def test_only_the_phases_asked_for_are_looked_at(valid: Path) -> None:
    resolved = load(valid, ["datasets.test_1={dataroot_gt: /nowhere}"])
    with pytest.raises(OptionsError) as caught:
        check_files(resolved, ("test",))
    assert [line.split(":")[0] for line in caught.value.problems] == ["--set  datasets.test_1.dataroot_gt"]
    assert "no folder /nowhere;" in caught.value.problems[0]


def test_a_file_is_not_a_folder_and_a_folder_is(valid: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "HR").touch()
    with pytest.raises(OptionsError, match="no folder data/HR"):
        check_files(load(valid), ("train",))
    (tmp_path / "data" / "HR").unlink()
    (tmp_path / "data" / "HR").mkdir()
    assert check_files(load(valid), ("train",)) is None


def test_a_test_file_cannot_train(valid: Path, tmp_path: Path) -> None:
    (tmp_path / "data" / "HR").mkdir(parents=True)
    with pytest.raises(OptionsError, match="for testing only"):
        check_files(load(valid, ["train=~"]), ("train",))


def test_a_teacher_is_looked_for_when_training(valid: Path, tmp_path: Path) -> None:
    (tmp_path / "data" / "HR").mkdir(parents=True)
    resolved = load(valid, ["train.distill=[{teacher: fp.safetensors}]"])
    with pytest.raises(OptionsError) as caught:
        check_files(resolved, ("train",))
    assert "nothing at fp.safetensors in" in caught.value.problems[0]
    assert "train.distill" in caught.value.problems[0]
    check_files(resolved, ("test",))
