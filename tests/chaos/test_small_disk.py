"""A filesystem that is really full, or really read-only (reliability T5); injected faults: test_disk_full.py."""

from __future__ import annotations

import errno
import io
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from train_drill import assert_same, outcome, small_options

from qsr.errors import EnvironmentFault
from qsr.files import write_synced
from qsr.train import checkpoint, state
from qsr.train.job import Job
from qsr.train.run import train
from tests.chaos.small_disk import FILLER, NoDisk, fill_up, free, remount, small_disk
from tests.drill import Drill

FULL = os.strerror(errno.ENOSPC)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with ExitStack() as held:
        try:
            place = held.enter_context(small_disk(tmp_path / "disk", 1 << 20))
        except NoDisk as why:
            pytest.skip(str(why))
        yield place


@pytest.mark.drill("T5")
def test_the_previous_checkpoint_stays_whatever_is_free(disk: Path, drill: Drill) -> None:
    """tmpfs counts pages of 4 KiB; a save of 40 KiB meets the end at every one of them."""

    def fill(folder: Path) -> None:
        for name in ("model.safetensors", "training.safetensors"):
            write_synced(folder / name, b"m" * 20_000)

    checkpoint.write(disk / "root", 10, fill, keep=2)
    outcomes = set()
    for pages in range(16):
        drill.count()
        fill_up(disk, pages * 4096)
        message = ""
        try:
            checkpoint.write(disk / "root", 20, fill, keep=2)
        except EnvironmentFault as fault:
            message = str(fault)
        outcomes.add(bool(message))
        if message:
            assert FULL in message
            assert "needed" in message
        found = checkpoint.newest(disk / "root", print)
        assert found is not None
        assert found.name in ("00000010", "00000020")
        free(disk)
    checkpoint.write(disk / "root", 20, fill, keep=2)
    assert sorted(os.listdir(disk / "root")) == ["00000010", "00000020", "LATEST"]
    assert outcomes == {True, False}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # TensorBoard's thread, on the full disk
@pytest.mark.drill("T5")
def test_training_goes_on_while_nothing_can_be_written(
    disk: Path, pictures: Path, tmp_path: Path, drill: Drill, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checkpoints, logs, crops, whole pictures, TensorBoard and the best model: all of them meet the full disk."""
    sections: dict[str, Any] = {
        "datasets": {"val": {"name": "held-out", "dataroot_gt": str(pictures / "val")}},
        "val": {"val_freq": 3, "crops_every": 1, "save_img": True},
        "logger": {"use_tb_logger": True},
    }
    train(small_options(pictures, tmp_path, **sections), notify=lambda line: None)
    alone = outcome(tmp_path / "tiny")
    stepped = Job.stepped
    full_at, free_at = 0, 0

    def watched(self: Job, iteration: int) -> None:
        stepped(self, iteration)
        if iteration == full_at:
            fill_up(disk)
        if iteration == free_at:
            free(disk)

    monkeypatch.setattr(Job, "stepped", watched)
    for number in drill.rounds(push=2, nightly=100):
        full_at = drill.random.randint(1, 7)
        free_at = drill.random.randint(9, 11)
        lines: list[str] = []
        options = small_options(pictures, disk / str(number), **sections)
        assert train(options, notify=lines.append).iteration == 12
        errors = [line for line in lines if line.startswith("ERROR")]
        assert any("checkpoint NOT saved at iteration 8" in line and FULL in line and "free 0" in line for line in errors)
        ours = outcome(disk / str(number) / "tiny")
        assert_same(ours, {**alone, "rows": ours["rows"]})  # rows that found no room are gone
        assert ours["rows"][-1]["iter"] == 12
        left = [path.name for path in (disk / str(number)).rglob(".*")]
        assert left == [], "something unfinished is left"
        assert not (disk / FILLER).exists()
        shutil.rmtree(disk / str(number))


@pytest.mark.drill("T5")
def test_a_disk_that_stays_full_is_the_exit_code(
    disk: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the resume, once there is room, ends with the same bits."""
    train(small_options(pictures, tmp_path), notify=lambda line: None)
    options = small_options(pictures, disk)
    stepped = Job.stepped

    def watched(self: Job, iteration: int) -> None:
        stepped(self, iteration)
        if iteration == 6:
            fill_up(disk)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Job, "stepped", watched)
        with pytest.raises(EnvironmentFault, match="the last checkpoint could not be saved") as caught:
            train(options, notify=lambda line: None)
    assert caught.value.exit_code == 6
    found = checkpoint.newest(disk / "tiny" / "checkpoints", print, state.check)
    assert found is not None
    assert found.name == "00000004"
    with pytest.raises(EnvironmentFault, match=FULL):
        train(options, auto_resume=True, notify=lambda line: None)
    free(disk)
    train(options, auto_resume=True, notify=lambda line: None)
    assert_same(outcome(disk / "tiny"), outcome(tmp_path / "tiny"))


@pytest.mark.drill("T5")
def test_a_read_only_disk_is_one_line(disk: Path, pictures: Path, tmp_path: Path) -> None:
    options = small_options(pictures, disk)
    remount(disk, "ro")
    with pytest.raises(EnvironmentFault, match=os.strerror(errno.EROFS)):
        train(options, notify=lambda line: None)
    with pytest.raises(EnvironmentFault, match=os.strerror(errno.EROFS)):
        checkpoint.write(disk / "root", 10, lambda folder: None, keep=1)
    remount(disk, "rw")
    assert os.listdir(disk) == []
    train(options, notify=lambda line: None)


@pytest.mark.drill("T5")
def test_a_terminal_on_a_full_disk_ends_nothing(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`qsr train > file`: the file's disk is full, the experiment's is not."""
    full = io.TextIOWrapper(io.FileIO("/dev/full", "w"), write_through=True)
    with pytest.raises(OSError, match=FULL):
        print("nothing goes there", file=full)
    monkeypatch.setattr(sys, "stdout", full)
    assert train(small_options(pictures, tmp_path)).iteration == 12
    monkeypatch.undo()
    assert "iter:      12" in (tmp_path / "tiny" / "train.log").read_text()
    with suppress(OSError):
        full.close()
