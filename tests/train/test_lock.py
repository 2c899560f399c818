"""Never two writers in one experiment (reliability T6)."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from qsr.errors import EnvironmentFault, ExperimentBusy
from qsr.train import lock
from qsr.train.lock import ExperimentLock
from tests.drill import Drill


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


@pytest.mark.drill("T6")
def test_the_second_process_is_told_who_holds_it(tmp_path: Path) -> None:
    child = hold_in_child(tmp_path)
    begun = time.monotonic()
    with pytest.raises(ExperimentBusy, match=f"process {child} on {socket.gethostname()} since"), ExperimentLock(tmp_path):
        pass
    assert time.monotonic() - begun < 2
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


@pytest.mark.drill("T6")
def test_the_lock_of_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    child = hold_in_child(tmp_path)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert json.loads((tmp_path / "LOCK").read_text())["pid"] == child
    with ExperimentLock(tmp_path):
        assert json.loads((tmp_path / "LOCK").read_text())["pid"] == os.getpid()
    assert (tmp_path / "LOCK").read_text() == ""


@pytest.mark.drill("T6")
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


@pytest.mark.drill("T6")
def test_never_two_writers_whoever_dies(tmp_path: Path, drill: Drill) -> None:
    """Processes come and go, some by SIGKILL. A holder leaves a witness beside the lock; a living one's is never found."""
    for round_ in drill.rounds(push=10, nightly=100):
        folder = tmp_path / str(round_)
        children = []
        for _ in range(4):
            plan = (drill.random.uniform(0, 0.02), drill.random.uniform(0, 0.02), drill.random.random() < 0.3)
            child = os.fork()
            if child == 0:
                code = 98
                try:
                    code = hold_with_witness(folder, *plan)
                finally:
                    os._exit(code)
            children.append(child)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        assert set(codes) <= {0, 6, -signal.SIGKILL}, codes
        assert set(codes) != {6}, "somebody has to get it"
        with ExperimentLock(folder):
            assert json.loads((folder / "LOCK").read_text())["pid"] == os.getpid()


def is_running(pid: int) -> bool:
    """False also for one that is dead and not yet waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def hold_with_witness(folder: Path, before: float, during: float, dies: bool) -> int:
    time.sleep(before)
    try:
        with ExperimentLock(folder):
            witness = folder / "witness"
            if witness.exists() and is_running(int(witness.read_text())):
                return 99
            witness.write_text(str(os.getpid()))
            time.sleep(during)
            if dies:
                os.kill(os.getpid(), signal.SIGKILL)
            witness.unlink()
    except ExperimentBusy as fault:
        return fault.exit_code
    return 0


@pytest.mark.parametrize("call", ["make_folders", "open"])
def test_a_folder_that_cannot_be_used_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(lock if call == "make_folders" else os, call, refuse)
    with pytest.raises(EnvironmentFault, match="LOCK: cannot write: Read-only file system"), ExperimentLock(tmp_path):
        pass


def test_a_full_disk_does_not_prevent_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", refuse)
    with ExperimentLock(tmp_path), pytest.raises(ExperimentBusy, match="in use by another process"), ExperimentLock(tmp_path):
        pass


def test_a_filesystem_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: int, operation: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(EnvironmentFault, match="no file locks"), ExperimentLock(tmp_path):
        pass
