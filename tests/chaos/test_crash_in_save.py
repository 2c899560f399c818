"""A crash between any two system calls of a save, with everything lost that was not synced (reliability T2)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qsr.files import write_synced
from qsr.train import checkpoint

CALLS = ("mkdir", "fsync", "rename", "replace", "unlink", "rmdir")


def fill(content: bytes) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        write_synced(folder / "model.safetensors", content * 10)
        write_synced(folder / "state.json", content)

    return write


class Machine:
    """Counts the calls that change the disk and loses power before the n-th; remembers which files were synced."""

    def __init__(self, patch: pytest.MonkeyPatch, dies_before: int) -> None:
        self.left = dies_before
        self.synced: set[int] = set()
        for name in CALLS:
            patch.setattr(os, name, self._wrapped(name, getattr(os, name)))

    def _wrapped(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                raise PowerLoss
            if name == "fsync":
                self.synced.add(os.fstat(args[0]).st_ino)
            return call(*args, **kwargs)

        return counted


class PowerLoss(BaseException):
    """Not an Exception: nothing may handle it."""


def save_in_child(root: Path, iteration: int, content: bytes, dies_before: int) -> bool:
    """Save in a forked process that vanishes at the given call; True if it lived through the save."""
    child = os.fork()
    if child == 0:
        status = 1
        patch = pytest.MonkeyPatch()
        machine = Machine(patch, dies_before)
        # the code's own tidying must not run either: a dead process tidies nothing
        patch.setattr(shutil, "rmtree", guarded_rmtree(machine))
        patch.setattr(Path, "unlink", guarded_unlink(machine))
        try:
            checkpoint.write(root, iteration, fill(content), keep=2)
            status = 0
        except PowerLoss:
            patch.undo()
            lose_unsynced(root, machine.synced)
            status = 7
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, 7), "the save failed by itself"
    return status == 0


def guarded_rmtree(machine: Machine) -> Callable[..., None]:
    rmtree = shutil.rmtree

    def call(path: Path, ignore_errors: bool = False) -> None:
        if machine.left <= 0:
            raise PowerLoss
        rmtree(path, ignore_errors)

    return call


def guarded_unlink(machine: Machine) -> Callable[..., None]:
    def call(self: Path, missing_ok: bool = False) -> None:
        if machine.left <= 0:
            raise PowerLoss
        if self.exists() or not missing_ok:
            os.unlink(self)

    return call


def lose_unsynced(root: Path, synced: set[int]) -> None:
    """Files that this save wrote and did not sync come back empty."""
    for path in root.rglob("*"):
        new = ".tmp-" in str(path) or b"new" in (path.read_bytes() if path.is_file() else b"")
        if path.is_file() and new and path.stat().st_ino not in synced:
            path.write_bytes(b"")


@pytest.mark.drill("T2")
def test_the_old_or_the_new_checkpoint_is_there_whenever_it_dies(tmp_path: Path) -> None:
    before = 0
    for dies_before in range(1, 200):
        root = tmp_path / str(dies_before)
        for iteration in (10, 20):
            checkpoint.write(root, iteration, fill(b"old"), keep=2)
        survived = save_in_child(root, 30, b"new", dies_before)
        found = checkpoint.newest(root, print)
        assert found is not None
        assert found.name in ("00000020", "00000030"), "the save is the newest or has not happened"
        content = (found / "state.json").read_bytes()
        assert content == (b"new" if found.name == "00000030" else b"old")
        # and the next save succeeds and leaves nothing unfinished behind
        checkpoint.write(root, 40, fill(b"next"), keep=2)
        assert checkpoint.newest(root, print) == root / "00000040"
        assert not list(root.glob(".*"))
        if survived:
            break
        before = dies_before
    assert before >= 12, "the drill has to reach every call of a save"


@pytest.mark.drill("T2")
def test_an_iteration_passed_again_never_leaves_nothing(tmp_path: Path) -> None:
    for dies_before in range(1, 200):
        root = tmp_path / str(dies_before)
        for iteration in (10, 20):
            checkpoint.write(root, iteration, fill(b"old"), keep=2)
        survived = save_in_child(root, 20, b"new", dies_before)
        found = checkpoint.newest(root, print)
        assert found is not None
        if survived:
            assert (found / "state.json").read_bytes() == b"new"
            break
    assert survived
