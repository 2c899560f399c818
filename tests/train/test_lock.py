"""Never two writers in one experiment (reliability T6)."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from qsr.errors import EnvironmentFault, ExperimentBusy
from qsr.train.lock import ExperimentLock


def hold_in_child(folder: Path, seconds: float = 30.0) -> int:
    """A forked process that takes the lock and keeps it; returns its pid once it has it."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with ExperimentLock(folder):
            os.write(writer, b"!")
            time.sleep(seconds)
        os._exit(0)
    assert os.read(reader, 1) == b"!"
    os.close(reader)
    os.close(writer)
    return child


def test_the_second_process_is_told_who_holds_it(tmp_path: Path) -> None:
    child = hold_in_child(tmp_path)
    begun = time.monotonic()
    with pytest.raises(ExperimentBusy, match=f"process {child} on {socket.gethostname()} since"), ExperimentLock(tmp_path):
        pass
    assert time.monotonic() - begun < 2
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    child = hold_in_child(tmp_path)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert json.loads((tmp_path / "LOCK").read_text())["pid"] == child
    with ExperimentLock(tmp_path):
        assert json.loads((tmp_path / "LOCK").read_text())["pid"] == os.getpid()
    assert (tmp_path / "LOCK").read_text() == ""


def test_of_many_that_come_at_once_one_gets_it(tmp_path: Path) -> None:
    start, go = os.pipe()
    children = []
    for _ in range(8):
        child = os.fork()
        if child == 0:
            os.close(go)
            os.read(start, 1)  # returns when the parent closes its end
            try:
                with ExperimentLock(tmp_path):
                    time.sleep(0.5)
                os._exit(0)
            except ExperimentBusy:
                os._exit(6)
        children.append(child)
    os.close(start)
    os.close(go)
    codes = sorted(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)
    assert codes == [0] + [6] * 7


def test_a_filesystem_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: int, operation: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(EnvironmentFault, match="no file locks"), ExperimentLock(tmp_path):
        pass
