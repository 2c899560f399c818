"""Writing an output so that it is there whole or not at all: a temporary file beside it, then a rename.

Not `qsr.files.write_atomic`: pictures of many GB are written row by row and videos by their library, never as one bytes
object. What a killed process leaves behind is found by its name and removed by the next run (`sweep`).
"""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from qsr.errors import EnvironmentFault
from qsr.files import fsync_directory, process_alive, storage_fault

PREFIX = ".qsr-upscale-"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Reasons for which the next file will not be written either."""
_numbers = itertools.count()


def new_token() -> str:
    """Names one run in its temporary files, on whatever machine they lie: 8 hex digits."""
    return os.urandom(4).hex()


def _host() -> str:
    return sha256(os.uname().nodename.encode("utf-8", "replace")).hexdigest()[:8]


@contextmanager
def replacing(target: Path, token: str) -> Iterator[Path]:
    """A path beside `target` to write to; it becomes `target` when the block ends, and goes when the block fails.

    An OSError in the block is taken for one of writing and becomes an EnvironmentFault that says how much room is left;
    whoever reads files inside turns their errors into others. The name does not grow with the target's.
    """
    temporary = target.with_name(f"{PREFIX}{token}-{_host()}-{os.getpid()}-{next(_numbers)}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise storage_fault(target, 0, fault) from fault
    try:
        yield temporary
        with open(temporary, "rb") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, target)
        fsync_directory(target.parent)
    except OSError as fault:
        raise storage_fault(target, _size(temporary), fault) from fault
    finally:
        temporary.unlink(missing_ok=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def disk_is_full(fault: BaseException) -> bool:
    """Whether `fault` is a failed write that every other file would meet too."""
    cause = fault.__cause__
    return isinstance(fault, EnvironmentFault) and isinstance(cause, OSError) and cause.errno in FULL


def sweep(folders: Iterable[Path], token: str | None = None) -> int:
    """Remove temporary files of dead processes of this machine, or all of the run `token`; how many there were."""
    removed = 0
    for folder in set(folders):
        for entry in sorted(folder.glob(f"{PREFIX}*")) if folder.is_dir() else ():
            parts = entry.name.removeprefix(PREFIX).split("-")
            if len(parts) != 4 or not parts[2].isdigit():
                continue
            dead = parts[1] == _host() and not process_alive(int(parts[2]))
            if dead or parts[0] == token:
                entry.unlink(missing_ok=True)
                removed += 1
    return removed
