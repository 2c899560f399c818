"""A folder that appears at once or not at all.

It is filled under a hidden name beside its target and renamed when complete. An error or Ctrl-C removes it; what a
SIGKILL leaves behind is swept by the next attempt.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qsr.errors import DataError
from qsr.files import fsync_directory, process_alive, storage_fault


@contextmanager
def staged_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes `target` when the block ends without an error.

    Raises DataError when `target` exists already, EnvironmentFault when the disk refuses.
    """
    refuse_existing(target)
    sweep(target)
    staging = target.with_name(f".{target.name}.tmp-{os.getpid()}")
    try:
        staging.mkdir(parents=True)
        yield staging
        fsync_directory(staging)
        refuse_existing(target)  # another process may have been faster
        os.rename(staging, target)
        fsync_directory(target.parent)
    except OSError as fault:
        raise storage_fault(target, 0, fault) from fault
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def refuse_existing(target: Path) -> None:
    """Raise DataError when there is anything at `target`: nothing of a user's is ever overwritten."""
    try:
        there = target.exists() or target.is_symlink()
    except (OSError, ValueError) as fault:  # longer than names can be, or with a zero byte
        why = getattr(fault, "strerror", None) or str(fault)
        raise DataError(f"cannot be a name: {why}", where=f"{str(target)[:200]}...", hint="choose another") from fault
    if there:
        raise DataError("is there already", where=str(target), hint="remove it first, or choose another name")


def sweep(target: Path) -> None:
    """Remove staging folders of `target` whose process has died."""
    for left in target.parent.glob(f".{target.name}.tmp-*"):
        pid = left.name.rpartition("-")[2]
        if pid.isdigit() and not process_alive(int(pid)):
            shutil.rmtree(left, ignore_errors=True)
