"""Power fails at any moment of any save: what the disk may hold then has a checkpoint that loads (reliability T2).

The operations of whole histories of saves are recorded once. Each round cuts one of them off somewhere and makes one of the
trees that POSIX allows there (power_loss.py).
"""

from __future__ import annotations

import errno
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from qsr.errors import EnvironmentFault
from qsr.files import write_synced
from qsr.train import checkpoint
from tests.chaos.power_loss import Folder, Op, Recorder, after_all, contents, on_disk, power_fails
from tests.drill import Drill

FILES = ("model.safetensors", "training.safetensors", "state.json")


@dataclass
class History:
    """Operations of several saves below `top`; saves are numbered 1, 2, ... and write their number into every file."""

    top: Path
    ops: list[Op]


class Saves:
    """Saves numbered contents into <top>/net/checkpoints, recorded."""

    def __init__(self, top: Path, recorder: Recorder) -> None:
        self.root, self.recorder, self.number = top / "net" / "checkpoints", recorder, 0

    def save(self, iteration: int, keep: int = 2, fault: bool = False) -> None:
        self.number += 1

        def fill(folder: Path) -> None:
            for name in FILES:
                write_synced(folder / name, b"%d " % self.number * 20)
                if fault:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        self.recorder.ops.append(("done", ("begun", self.number)))
        try:
            checkpoint.write(self.root, iteration, fill, keep)
        except EnvironmentFault:
            assert fault
        else:
            self.recorder.mark(self.number)


def one_after_the_other(saves: Saves) -> None:
    for iteration in (10, 20, 30, 40):
        saves.save(iteration)


def only_one_is_kept(saves: Saves) -> None:
    for iteration in (10, 20, 30):
        saves.save(iteration, keep=1)


def the_only_one_again(saves: Saves) -> None:
    """A run that was stopped before its validation validates when it is resumed, and saves the same iteration again."""
    for _ in range(3):
        saves.save(10, keep=1)


def from_an_older_one(saves: Saves) -> None:
    for iteration in (10, 20, 30, 20, 30):
        saves.save(iteration, keep=3)


def a_full_disk_in_between(saves: Saves) -> None:
    for iteration in (10, 20, 20, 30):
        saves.save(iteration, fault=iteration == 20 and saves.number == 1)


def what_a_dead_process_left(saves: Saves) -> None:
    saves.save(10)
    os.mkdir(saves.root / ".00000020.tmp-999999999")
    saves.save(20)
    os.rename(saves.root / "00000010", saves.root / ".00000010.old-999999999")
    saves.save(30)


HISTORIES: tuple[Callable[[Saves], None], ...] = (
    one_after_the_other,
    only_one_is_kept,
    the_only_one_again,
    from_an_older_one,
    a_full_disk_in_between,
    what_a_dead_process_left,
)


@pytest.fixture(scope="module")
def histories(tmp_path_factory: pytest.TempPathFactory) -> list[History]:
    found = []
    for number, play in enumerate(HISTORIES):
        top = tmp_path_factory.mktemp(f"history{number}")
        with pytest.MonkeyPatch.context() as patch:
            recorder = Recorder(patch)
            play(Saves(top, recorder))
        assert contents(after_all(top, recorder.ops)) == on_disk(top), "something was written that the recorder did not see"
        found.append(History(top, recorder.ops))
    return found


def number_in(folder: Path) -> int:
    """Which save wrote the files; they are all there, and from the same one."""
    assert {path.name for path in folder.iterdir()} == {*FILES, checkpoint.MANIFEST}
    (number,) = {int(word) for name in FILES for word in (folder / name).read_bytes().split()}
    assert all((folder / name).read_bytes() == b"%d " % number * 20 for name in FILES)
    return number


def complaint(history: History, cut: int, disk: Folder, chance: random.Random, place: Path) -> str:
    """What is wrong after a power failure before operation `cut`; "" if nothing is."""
    marks = [op[1] for op in history.ops[:cut] if op[0] == "done"]
    done = max((mark for mark in marks if isinstance(mark, int)), default=0)
    begun = max((mark[1] for mark in marks if not isinstance(mark, int)), default=0)
    power_fails(disk, chance, place)
    root = place / "net" / "checkpoints"
    said: list[str] = []
    try:
        found = checkpoint.newest(root, said.append)
        number = number_in(found) if found else 0
    except Exception as fault:
        return f"{type(fault).__name__}: {fault}"
    if not done <= number <= begun:
        return f"save {done} was complete, {begun} begun, and the reader finds {number}"
    if chance.random() < 0.2:
        checkpoint.write(root, 90, lambda folder: write_synced(folder / "state.json", b"next"), keep=1)
        if sorted(os.listdir(root)) != ["00000090", checkpoint.LATEST]:
            return f"the next save leaves {sorted(os.listdir(root))}"
    return ""


@pytest.mark.drill("T2")
def test_a_loadable_checkpoint_is_on_the_disk(
    histories: list[History], tmp_path: Path, drill: Drill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    place = tmp_path / "disk"
    for _ in drill.rounds(push=200, nightly=10_000):
        history = drill.random.choice(histories)
        cut = drill.random.randint(1, len(history.ops))
        disk = after_all(history.top, history.ops[:cut])
        wrong = complaint(history, cut, disk, drill.random, place)
        if wrong:
            kept = drill.keep(f"{history.ops[:cut]}", suffix=".txt").with_suffix(".tree")
            shutil.copytree(place, kept, dirs_exist_ok=True)
            play = HISTORIES[histories.index(history)].__name__
            drill.fail(f"{play}, cut before operation {cut} ({history.ops[cut - 1][:2]}): {wrong}; tree kept in {kept}")
        shutil.rmtree(place)


def test_the_model_loses_what_was_not_synced(tmp_path: Path) -> None:
    """A writer that forgets to sync is found out: the drill above can fail."""
    ops: list[Op] = [("mkdir", tmp_path / "a"), ("create", tmp_path / "a/b"), ("write", tmp_path / "a/b", b"1234")]
    synced: list[Op] = [*ops, ("fsync", tmp_path / "a/b"), ("fsync", tmp_path / "a"), ("fsync", tmp_path)]
    chance = random.Random(0)
    trees = []
    for number in range(200):
        power_fails(after_all(tmp_path, ops), chance, tmp_path / str(number))
        trees.append(on_disk(tmp_path / str(number)))
    for tree in ({}, {"a": {}}, {"a": {"b": b""}}, {"a": {"b": b"1234"}}, {"a": {"b": b"\0\0\0\0"}}):
        assert tree in trees
    power_fails(after_all(tmp_path, synced), chance, tmp_path / "safe")
    assert on_disk(tmp_path / "safe") == {"a": {"b": b"1234"}}
