from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from qsr.errors import EnvironmentFault
from qsr.upscale import target


def fail(goal: Path, fault: BaseException) -> None:
    with target.replacing(goal, "token") as temporary:
        temporary.write_bytes(b"half")
        raise fault


def test_the_file_is_there_when_the_block_ends_and_not_before(tmp_path: Path) -> None:
    goal = tmp_path / "new folder" / "a.png"
    with target.replacing(goal, "token") as temporary:
        temporary.write_bytes(b"pixels")
        assert not goal.exists()
        assert temporary.parent == goal.parent
    assert goal.read_bytes() == b"pixels"
    assert os.listdir(goal.parent) == ["a.png"]


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), RuntimeError("bug")])
def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path, fault: BaseException) -> None:
    goal = tmp_path / "a.png"
    goal.write_bytes(b"old")
    with pytest.raises(type(fault)):
        fail(goal, fault)
    assert goal.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.png"]


def test_a_full_disk_is_told_and_recognised(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="No space left on device; needed 4 bytes, free") as caught:
        fail(tmp_path / "a.png", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert target.disk_is_full(caught.value)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_may_not_be_written_is_no_full_disk(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentFault) as caught, target.replacing(tmp_path / "file" / "a.png", "token"):
        pass
    assert not target.disk_is_full(caught.value)


def test_the_temporary_name_fits_where_the_target_does(tmp_path: Path) -> None:
    goal = tmp_path / ("a" * 251 + ".png")
    with target.replacing(goal, target.new_token()) as temporary:
        temporary.write_bytes(b"")
    assert goal.exists()


def test_what_dead_processes_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = target._host()
    dead = tmp_path / f"{target.PREFIX}aaaa-{host}-4000000000-0"
    alive = tmp_path / f"{target.PREFIX}aaaa-{host}-{os.getpid()}-0"
    elsewhere = tmp_path / f"{target.PREFIX}bbbb-00000000-4000000000-0"
    odd = tmp_path / f"{target.PREFIX}notes"
    for path in (dead, alive, elsewhere, odd):
        path.touch()
    monkeypatch.setattr(target, "process_alive", lambda pid: pid == os.getpid())
    assert target.sweep([tmp_path, tmp_path / "none"]) == 1
    assert not dead.exists()
    # another machine's processes cannot be asked; its files go when their run has ended
    assert target.sweep([tmp_path], "bbbb") == 1
    assert sorted(tmp_path.iterdir()) == sorted([alive, odd])
