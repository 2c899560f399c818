"""Writing files so that a crash leaves either the old content or the new one, never a part of it.

`write_atomic` is for single files; checkpoints (directories) build on the same steps in train/checkpoint.py.
The temporary file lies beside its target: another filesystem ($TMPDIR) could be full or make the rename a copy.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from qsr.errors import EnvironmentFault


def fsync_directory(folder: Path) -> None:
    """Make a rename in `folder` durable. Filesystems that cannot sync a directory (EINVAL) are left alone."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as fault:
        if fault.errno != errno.EINVAL:
            raise
    finally:
        os.close(handle)


def make_folders(folder: Path) -> None:
    """Create `folder` and what is missing above it, each durable in its parent: what is synced inside must not get lost."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):  # a loop: a name may have more parts than Python's stack
        each.mkdir(exist_ok=True)
        fsync_directory(each.parent)


def write_synced(path: Path, content: bytes) -> None:
    """Write and fsync one file; raises EnvironmentFault that says how much room was needed and is left."""
    try:
        with open(path, "wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
    except OSError as fault:
        raise storage_fault(path, len(content), fault) from fault


def write_atomic(path: Path | str, content: bytes) -> None:
    """Replace `path` by `content` in one step (temporary file beside it, fsync, rename, fsync of the folder)."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        make_folders(path.parent)
    except OSError as fault:
        raise storage_fault(path, len(content), fault) from fault
    try:
        write_synced(temporary, content)
        os.replace(temporary, path)
        fsync_directory(path.parent)
    except OSError as fault:
        raise storage_fault(path, len(content), fault) from fault
    finally:
        with suppress(OSError):  # a disk that refuses this too (read-only) must not hide why the write failed
            temporary.unlink(missing_ok=True)


def storage_fault(path: Path, needed: int, fault: OSError) -> EnvironmentFault:
    """The one line for a failed write: the file, the system's reason, bytes needed and free."""
    try:
        info = os.statvfs(path.parent)
        room = f"; needed {needed:,} bytes, free {info.f_bavail * info.f_frsize:,}"
    except OSError:
        room = ""
    reason = fault.strerror or str(fault)
    return EnvironmentFault(f"cannot write: {reason}{room}", where=str(path), hint="free some space or choose another folder")


def process_alive(pid: int) -> bool:
    """Whether a process of this number runs on this machine; decides if a temporary file or folder is a dead one's."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # someone else's process
    return True
