from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from qsr import files
from qsr.errors import EnvironmentFault
from qsr.files import make_folders


def test_writes_and_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "a.json"
    files.write_atomic(target, b"old")
    files.write_atomic(str(target), b"new")
    assert target.read_bytes() == b"new"
    assert [path.name for path in target.parent.iterdir()] == ["a.json"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_keeps_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    target = tmp_path / "a.json"
    files.write_atomic(target, b"old")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, step, fail)
    with pytest.raises(EnvironmentFault) as caught:
        files.write_atomic(target, b"x" * 12345)
    monkeypatch.undo()
    text = str(caught.value)
    assert "No space left on device; needed 12,345 bytes, free " in text
    assert "a.json" in text
    assert caught.value.exit_code == 6
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_file_where_a_folder_is_needed_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(EnvironmentFault, match="cannot write"):
        files.write_atomic(tmp_path / "a" / "b", b"")


def test_content_is_synced_before_the_rename_and_the_folder_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(files.os, "fsync", lambda handle: (steps.append("fsync"), sync(handle)))
    monkeypatch.setattr(files.os, "replace", lambda old, new: (steps.append("replace"), replace(old, new)))
    files.write_atomic(tmp_path / "a", b"1")
    assert steps == ["fsync", "replace", "fsync"]


def test_a_filesystem_that_cannot_sync_folders_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.EINVAL, "no sync here")

    monkeypatch.setattr(files.os, "fsync", refuse)
    assert files.fsync_directory(tmp_path) is None


def test_any_other_failure_to_sync_a_folder_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "broken disk")

    monkeypatch.setattr(files.os, "fsync", fail)
    with pytest.raises(OSError, match="broken disk"):
        files.fsync_directory(tmp_path)


def test_what_could_not_be_tidied_does_not_hide_why_the_write_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read-only filesystem refuses even to remove what is not there."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(files, "write_synced", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(EnvironmentFault, match="cannot write: Read-only file system"):
        files.write_atomic(tmp_path / "a", b"1")
    monkeypatch.undo()
    with pytest.raises(EnvironmentFault, match="cannot write: File name too long"):
        files.write_atomic(tmp_path / ("a" * 300), b"1")


def test_new_folders_are_durable_before_anything_is_put_in_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[tuple[str, str]] = []
    sync, make = files.fsync_directory, os.mkdir
    monkeypatch.setattr(files, "fsync_directory", lambda folder: (steps.append(("sync", folder.name)), sync(folder)))
    monkeypatch.setattr(os, "mkdir", lambda folder, *mode: (steps.append(("make", Path(folder).name)), make(folder, *mode)))
    files.make_folders(tmp_path / "a" / "b")
    files.make_folders(tmp_path / "a" / "b")
    assert steps == [("make", "a"), ("sync", tmp_path.name), ("make", "b"), ("sync", "a")]


def test_storage_fault_without_a_folder_to_ask(tmp_path: Path) -> None:
    fault = files.storage_fault(tmp_path / "gone" / "a", 5, OSError(errno.EACCES, "Permission denied"))
    assert str(fault).startswith(f"{tmp_path}/gone/a: cannot write: Permission denied (free some space")


def test_a_dead_process_is_told_from_a_live_one() -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    assert files.process_alive(os.getpid())
    assert not files.process_alive(child.pid)


def test_a_process_of_somebody_else_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it left unfinished is not ours to sweep."""

    def denied(pid: int, number: int) -> NoReturn:
        raise PermissionError

    monkeypatch.setattr(os, "kill", denied)
    assert files.process_alive(1)


def test_a_path_of_more_parts_than_a_stack_has(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a"] * 1500)
    if len(str(deep)) > 4000:
        pytest.skip("the temporary folder's name is too long for this")
    try:
        make_folders(deep)
        assert deep.is_dir()
    finally:  # by a program that does not recurse: Python's own would not get to the bottom
        subprocess.run(["rm", "-rf", str(tmp_path / "a")], check=True, timeout=60)
    with pytest.raises(OSError):
        make_folders(tmp_path.joinpath(*["a"] * 5000))
