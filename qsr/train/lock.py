"""One writer per experiment: an advisory lock on `LOCK` that the kernel drops when its holder dies.

The file also says who holds it (pid, host, since), for the message that a second process gets. It is never deleted:
between `open` and `flock` of another process a deleted lock file would be locked twice.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from qsr.errors import EnvironmentFault, ExperimentBusy
from qsr.files import make_folders, storage_fault


class ExperimentLock:
    """Context manager: holds `<folder>/LOCK`, or raises ExperimentBusy naming the pid and host of the holder.

    Raises EnvironmentFault where the folder cannot be made or written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "LOCK"
        self._handle = -1

    def __enter__(self) -> ExperimentLock:
        try:
            make_folders(self.path.parent)
            self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as fault:
            raise storage_fault(self.path, 0, fault) from fault
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as fault:
            os.close(self._handle)
            if fault.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise ExperimentBusy(
                    f"experiment in use by {self._holder()}",
                    where=str(self.path),
                    hint="wait for it, stop it, or choose another name",
                ) from None
            raise EnvironmentFault(
                f"this filesystem has no file locks ({fault.strerror})", where=str(self.path), hint="set path.experiments_root"
            ) from fault
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S %z")}
        with suppress(OSError):  # on a full disk nobody learns who holds it, but it is held all the same
            os.ftruncate(self._handle, 0)
            os.pwrite(self._handle, json.dumps(holder).encode(), 0)
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, traceback: TracebackType | None) -> None:
        with suppress(OSError):
            os.ftruncate(self._handle, 0)
        os.close(self._handle)

    def _holder(self) -> str:
        """Who holds it; the holder writes its name a moment after locking, hence the patience."""
        for _ in range(20):
            try:
                who = json.loads(self.path.read_text())
                return f"process {who['pid']} on {who['host']} since {who['since']}"
            except (ValueError, KeyError, OSError):
                time.sleep(0.01)
        return "another process"
