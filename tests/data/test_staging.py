from __future__ import annotations

import os
import subprocess
import sys

import pytest

from qsr.data.staging import refuse_existing, staged_folder, sweep
from qsr.errors import DataError, EnvironmentFault


def test_appears_at_the_end(tmp_path):
    target = tmp_path / "deep" / "set"
    with staged_folder(target) as staging:
        (staging / "a").write_text("x")
        assert not target.exists()
    assert [p.name for p in target.iterdir()] == ["a"]
    assert [p.name for p in target.parent.iterdir()] == ["set"]


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt, DataError])
def test_a_fault_leaves_nothing(fault, tmp_path):
    def fail() -> None:
        with staged_folder(tmp_path / "set") as staging:
            (staging / "a").write_text("x")
            raise fault("stop")

    with pytest.raises(fault):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "set").mkdir()
    with pytest.raises(DataError, match="is there already"), staged_folder(tmp_path / "set"):
        pytest.fail("the block must not run")
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(DataError, match="is there already"):
        refuse_existing(tmp_path / "link")


def test_a_faster_process_wins(tmp_path):
    with pytest.raises(DataError, match="is there already"), staged_folder(tmp_path / "set"):
        (tmp_path / "set" / "theirs").mkdir(parents=True)
    assert [p.name for p in tmp_path.rglob("*")] == ["set", "theirs"]


def test_a_disk_that_refuses_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentFault, match="cannot write"), staged_folder(tmp_path / "file" / "set"):
        pytest.fail("the block must not run")


def test_remains_of_the_dead_are_swept_and_of_the_living_kept(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    dead, living, odd = (tmp_path / f".set.tmp-{pid}" for pid in (child.pid, os.getppid(), "x"))
    for folder in (dead, living, odd):
        folder.mkdir()
    sweep(tmp_path / "set")
    assert [folder.exists() for folder in (dead, living, odd)] == [False, True, True]
