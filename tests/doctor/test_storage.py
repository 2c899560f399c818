"""Disks that are read-only, full, in memory, too fast, forgetful or without locks: each is said in its own words."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qsr.doctor import storage
from qsr.doctor.storage import Filesystem, check_disk, check_locks, filesystem, nearest, scratch, sweep
from qsr.doctor.worker import examine
from qsr.errors import EnvironmentFault
from qsr.train import lock


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little is written; the disk is ext4 with room and an fsync that takes its time."""
    monkeypatch.setattr(storage, "MOST", 2)
    monkeypatch.setattr(storage, "SYNCS", 3)
    monkeypatch.setattr(storage, "ROOM_LOW", 0)
    monkeypatch.setattr(storage, "SLOW", 0)
    monkeypatch.setattr(storage, "TOO_FAST", 0.0)
    monkeypatch.setattr(storage, "TOO_SLOW", 1e9)
    monkeypatch.setattr(storage, "filesystem", lambda path: Filesystem("ext4"))


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """`mount("ro")`: a real tmpfs with those options; skips where this process may mount nothing."""
    mounted = []

    def make(options: str) -> Path:
        place = tmp_path / f"mount{len(mounted)}"
        place.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "qsr-test", str(place)], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            pytest.skip(f"mounting a tmpfs is not allowed here: {done.stderr.strip()}")
        mounted.append(place)
        return place

    yield make
    for place in mounted:
        subprocess.run(["umount", str(place)], check=True)


def test_a_healthy_disk(quick: None, tmp_path: Path):
    found = check_disk(tmp_path / "not" / "there")
    assert found.status == "ok", found
    assert found.found.startswith(f"{tmp_path}: ext4, ")
    assert found.facts["bytes_per_second"] > 0
    assert len(found.facts["fsync_seconds"]) == 3
    assert list(tmp_path.iterdir()) == [], "nothing is left behind, and no folder is made"


# --- refusals -------------------------------------------------------------------------------------------------------------
def test_a_read_only_disk(mount: Callable[[str], Path]):
    place = mount("ro")
    for check in ("check_disk", "check_locks"):
        found = examine(f"qsr.doctor.storage:{check}", [], str(place / "experiments"))
        assert found.status == "fail"
        assert found.found == f"{place}: cannot write: Read-only file system"
        assert found.todo == storage.ELSEWHERE


def test_a_full_disk(mount: Callable[[str], Path]):
    place = mount("size=1m")
    found = examine("qsr.doctor.storage:check_disk", [], str(place))
    assert found.status == "fail"
    assert "No space left on device; needed 67,108,864 bytes" in found.found
    assert list(place.iterdir()) == []


def test_a_folder_without_permission(quick: None, tmp_path: Path, monkeypatch):
    """As root no permission bits refuse anything, so the call itself does."""

    def refuse(self: Path, *args: object, **how: object) -> None:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(EnvironmentFault, match="cannot write: Permission denied"):
        check_disk(tmp_path)


def test_an_error_while_writing(quick: None, tmp_path: Path, monkeypatch):
    def refuse(path: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(storage, "_speed", refuse)
    with pytest.raises(EnvironmentFault, match="Input/output error; needed"):
        check_disk(tmp_path)
    assert list(tmp_path.iterdir()) == []


# --- disks that cannot be trusted -----------------------------------------------------------------------------------------
@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="no posix_fadvise")
def test_a_disk_that_forgets(quick: None, tmp_path: Path, monkeypatch):
    def forget(handle: int, *args: int) -> None:
        os.pwrite(handle, b"forgotten", 1000)

    monkeypatch.setattr(os, "posix_fadvise", forget)
    found = check_disk(tmp_path)
    assert found.status == "fail"
    assert "what was written is not what is read" in found.found


def test_an_fsync_that_does_not_wait(quick: None, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(storage, "TOO_FAST", 30e-6)
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # what eatmydata does
    found = check_disk(tmp_path)
    assert found.status == "warn"
    assert "fsync does not wait" in found.found


def test_the_limit_of_what_a_disk_can_do_is_not_changed_by_chance():
    assert storage.TOO_FAST == 30e-6


def test_a_disk_in_memory(mount: Callable[[str], Path]):
    found = check_disk(mount("size=200m"))
    assert found.status == "warn"
    assert "tmpfs" in found.found
    assert "gone after a restart" in found.found


@pytest.mark.parametrize(
    ("disk", "said"),
    [
        (Filesystem("overlay", frozenset({"rw", "volatile"})), "mounted `volatile`"),
        (Filesystem("overlay", frozenset({"rw"})), "a container's own layer"),
        (Filesystem("nfs4"), "a network filesystem"),
        (Filesystem("ramfs"), "in memory"),
    ],
)
def test_kinds_of_disks(quick: None, tmp_path: Path, monkeypatch, disk: Filesystem, said: str):
    monkeypatch.setattr(storage, "filesystem", lambda path: disk)
    found = check_disk(tmp_path)
    assert found.status == "warn"
    assert said in found.found
    assert found.todo


@pytest.mark.parametrize(
    ("name", "value", "said"), [("ROOM_LOW", 1 << 60, "little room"), ("SLOW", 1e15, "slow"), ("TOO_SLOW", 0, "slow")]
)
def test_little_room_and_slow_disks(quick: None, tmp_path: Path, monkeypatch, name: str, value: float, said: str):
    monkeypatch.setattr(storage, name, value)
    found = check_disk(tmp_path)
    assert found.status == "warn"
    assert said in found.found


# --- parts ----------------------------------------------------------------------------------------------------------------
def test_the_deepest_and_last_mount_counts(tmp_path: Path):
    table = tmp_path / "mountinfo"
    inside = tmp_path.resolve()
    table.write_text(
        "27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard\n"
        f"28 27 0:1 / {inside.parent} rw - xfs /dev/vdb rw\n"
        f"29 27 0:1 / {inside}/a\\040b rw,noatime - overlay overlay rw,volatile\n"
        f"30 27 0:1 / {inside.parent} rw - btrfs /dev/vdc rw\n"
        "31 27 0:1 / /elsewhere rw - nfs server:/ rw\n"
    )
    assert filesystem(Path("/"), table).kind == "ext4"
    assert filesystem(inside, table).kind == "btrfs"
    (inside / "a b").mkdir()
    assert filesystem(inside / "a b", table) == Filesystem("overlay", frozenset({"rw", "noatime", "volatile"}))
    assert filesystem(inside, tmp_path / "none").kind == ""


def test_scratch_is_on_the_same_disk_and_goes_away(tmp_path: Path):
    with scratch(tmp_path / "a" / "b") as place:
        assert place.parent == tmp_path
        (place / "file").write_text("x")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RuntimeError), scratch(tmp_path):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    assert nearest(tmp_path / "a" / "b") == tmp_path


def test_sweep_leaves_other_things_alone(tmp_path: Path):
    mine, odd = tmp_path / f"{storage.PREFIX}{os.getpid()}", tmp_path / f"{storage.PREFIX}odd"
    mine.mkdir()
    odd.mkdir()
    sweep(tmp_path)
    assert mine.is_dir()
    assert odd.is_dir()


# --- locks ----------------------------------------------------------------------------------------------------------------
def test_locks_work_here(tmp_path: Path):
    found = check_locks(tmp_path)
    assert found.status == "ok", found
    assert list(tmp_path.iterdir()) == []


def test_a_disk_whose_locks_do_nothing(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(lock.fcntl, "flock", lambda handle, how: None)
    found = check_locks(tmp_path)
    assert found.status == "fail"
    assert "two processes hold the lock" in found.found


def test_a_disk_without_locks(tmp_path: Path, monkeypatch):
    def refuse(handle: int, how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(lock.fcntl, "flock", refuse)
    found = examine("qsr.doctor.storage:check_locks", [], str(tmp_path))
    assert found.status == "fail"
    assert "no file locks" in found.found


def test_a_lock_that_outlives_its_holder(tmp_path: Path, monkeypatch):
    real, held = subprocess.Popen, []

    class Immortal(real):
        def __init__(self, *args: object, **how: object) -> None:
            super().__init__(*args, **how)
            held.append(self)

        def kill(self) -> None:
            """Nothing."""

        def communicate(self) -> tuple[str, str]:
            return "", ""

    monkeypatch.setattr(subprocess, "Popen", Immortal)
    try:
        found = check_locks(tmp_path)
    finally:
        for holder in held:
            real.kill(holder)
            real.communicate(holder)
    assert len(held) == 1
    assert found.status == "fail"
    assert "still held" in found.found


def test_a_holder_that_gets_no_lock(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(storage, "HOLD", "raise SystemExit('no such module')")
    found = examine("qsr.doctor.storage:check_locks", [], str(tmp_path))
    assert found.status == "fail"
    assert "no such module" in found.found
