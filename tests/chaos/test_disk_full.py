"""A disk that refuses: the checkpoint before it stays, one line says why, training goes on, the exit code tells (T5)."""

from __future__ import annotations

import builtins
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from train_drill import tiny_options

import qsr.files
from qsr.errors import EnvironmentFault
from qsr.files import write_synced
from qsr.train import checkpoint
from qsr.train.run import train
from tests.chaos.power_loss import Op, Watch
from tests.drill import Drill


class Disk:
    """Stands for `open` in qsr.files: accepts `room` bytes altogether, then writes what fits and reports `fault`."""

    def __init__(self, room: int, fault: int = errno.ENOSPC) -> None:
        self.room, self.fault = room, fault

    def __call__(self, path: Any, mode: str) -> Any:
        handle = builtins.open(path, mode)  # noqa: SIM115 - Handle closes it
        write = handle.write

        def limited(content: bytes) -> int:
            fits = content[: self.room]
            self.room -= len(fits)
            write(fits)
            if len(fits) < len(content):
                raise OSError(self.fault, os.strerror(self.fault))
            return len(fits)

        return Handle(handle, limited)


class Handle:
    """The opened file with another `write`."""

    def __init__(self, handle: Any, write: Callable[[bytes], int]) -> None:
        self.handle, self.write = handle, write

    def __getattr__(self, name: str) -> Any:
        return getattr(self.handle, name)

    def __enter__(self) -> Handle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.handle.close()


def fill(folder: Path) -> None:
    write_synced(folder / "model.safetensors", b"m" * 600)
    write_synced(folder / "state.json", b"s" * 100)


def complaint(root: Path) -> str:
    """What a save of iteration 20 says; "" when it succeeds."""
    try:
        checkpoint.write(root, 20, fill, keep=2)
    except EnvironmentFault as fault:
        return str(fault)
    return ""


@pytest.mark.drill("T5")
@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_the_previous_checkpoint_stays_wherever_the_disk_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: int, drill: Drill
) -> None:
    checkpoint.write(tmp_path, 10, fill, keep=2)
    refused = 0
    for room in range(0, 1000, 20):
        monkeypatch.setattr(qsr.files, "open", Disk(room, fault), raising=False)
        message = complaint(tmp_path)
        drill.count()
        if message:
            refused += 1
            assert os.strerror(fault) in message
            assert "needed" in message
            assert "free" in message
            # a checkpoint may be complete when only LATEST could not be written; LATEST still names the one before
            assert checkpoint.newest(tmp_path, print) == tmp_path / "00000010"
            assert not list(tmp_path.glob(".*")), "nothing unfinished is left"
    assert refused >= 35
    assert checkpoint.newest(tmp_path, print) == tmp_path / "00000020"


class Faulty(Watch):
    """The n-th call that changes the disk fails; those after it succeed."""

    def __init__(self, patch: pytest.MonkeyPatch, at: int, fault: int) -> None:
        self.left, self.fault = at, fault
        super().__init__(patch)

    def before(self, op: Op) -> None:
        self.left -= 1
        if self.left == 0:
            raise OSError(self.fault, os.strerror(self.fault))

    def sync(self, call: Callable[[int], Any], handle: int) -> None:
        """Without the disk."""


@pytest.mark.drill("T5")
@pytest.mark.parametrize("again", [False, True], ids=["the next one", "the same one again"])
def test_an_intact_checkpoint_is_there_whatever_call_fails(tmp_path: Path, drill: Drill, again: bool) -> None:
    """Every call, one after the other, with one checkpoint before; the save after it succeeds and tidies up."""
    for fault in (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS):
        at, left = 0, 0
        while left <= 0:
            at += 1
            root = tmp_path / f"{fault}_{at}"
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(os, "fsync", lambda handle: None)
                checkpoint.write(root, 20 if again else 10, fill, keep=1)
            with pytest.MonkeyPatch.context() as patch:
                faulty = Faulty(patch, at, fault)
                message = complaint(root)
                left = faulty.left
            drill.count()
            found = checkpoint.newest(root, print)
            assert found is not None
            if message:
                assert os.strerror(fault) in message
            else:  # what failed was the removal of a temporary file that had been renamed already
                assert (found.name, (found / "state.json").read_bytes()) == ("00000020", b"s" * 100), (
                    f"call {at} failed unheard"
                )
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(os, "fsync", lambda handle: None)
                checkpoint.write(root, 30, fill, keep=1)
            assert sorted(os.listdir(root)) == ["00000030", "LATEST"]
        assert at >= 18, "the drill has to reach every call of a save"


def test_a_write_that_reads_back_differently_replaces_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.write(tmp_path, 10, fill, keep=1)
    manifest = checkpoint._manifest(tmp_path / "00000010")
    monkeypatch.setattr(checkpoint, "_manifest", lambda folder: manifest.replace(b"600", b"601"))
    assert "what was written reads back differently" in complaint(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["00000010", "LATEST"]


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("a file where the folder should be")
    with pytest.raises(EnvironmentFault, match="cannot write"):
        checkpoint.write(tmp_path / "root", 10, fill, keep=2)


def only_checkpoints(disk: Disk) -> Callable[[Any, str], Any]:
    return lambda path, mode: disk(path, mode) if "checkpoints" in str(path) else builtins.open(path, mode)


@pytest.mark.drill("T5")
def test_training_goes_on_and_the_next_save_succeeds(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    full = Disk(20_000)
    monkeypatch.setattr(qsr.files, "open", only_checkpoints(full), raising=False)

    def hear(line: str) -> None:
        lines.append(line)
        if "NOT saved" in line:
            full.room = 10**9  # the user frees some space

    outcome = train(tiny_options(pictures, tmp_path, depth=None), notify=hear)
    assert outcome.iteration == 16
    complaints = [line for line in lines if line.startswith("ERROR")]
    assert len(complaints) == 1
    assert os.strerror(errno.ENOSPC) in complaints[0]
    assert (tmp_path / "tiny/checkpoints/LATEST").read_text() == "00000016"
    assert not list((tmp_path / "tiny/checkpoints").glob(".*"))


@pytest.mark.drill("T5")
def test_the_exit_code_tells_when_the_last_save_failed(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(10**9)
    monkeypatch.setattr(qsr.files, "open", only_checkpoints(disk), raising=False)

    def hear(line: str) -> None:
        if line.startswith("stage: quantized"):
            disk.room = 1000  # somebody else fills the disk, for good

    with pytest.raises(EnvironmentFault, match="the last checkpoint could not be saved") as caught:
        train(tiny_options(pictures, tmp_path, depth=None), notify=hear)
    assert caught.value.exit_code == 6
    assert checkpoint.newest(tmp_path / "tiny/checkpoints", print) == tmp_path / "tiny/checkpoints/00000006"
