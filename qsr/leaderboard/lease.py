"""At most one worker per row, over processes and hosts that share a folder, without any service.

A lease is a file `<name>.<generation>`; the highest generation holds. Acquiring is creating the next generation with
O_EXCL, which exactly one of many can do, on NFS as well. The holder renews its file's modification time; a file that
was not renewed for `stale` seconds, or whose process is known to be dead, may be followed by the next generation. A
holder that was suspended meanwhile finds a higher generation than its own and must stop at once: `on_lost`.

Ages are differences of modification times that the same file server gave, so hosts' clocks need not agree.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType

from qsr.files import process_alive

STALE_SECONDS = 60.0
BEATS = 6  # renewals within the time after which a lease counts as stale


@dataclass(frozen=True)
class Holder:
    """Who holds a lease, and how long ago it was renewed (seconds)."""

    host: str
    pid: int
    age: float

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host.partition('/')[0]}, seen {self.age:.0f} s ago"


class Lease:
    """Context manager once `acquire` said True: renews in a thread, and gives the lease back at the end.

    on_lost: called in that thread when another worker has taken the lease over.
    """

    def __init__(
        self, folder: Path, name: str, stale: float = STALE_SECONDS, on_lost: Callable[[], None] | None = None
    ) -> None:
        self.folder = folder
        self.name = name
        self.stale = stale
        self._on_lost = on_lost
        self._own: Path | None = None
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def holder(self) -> Holder | None:
        """The live holder; None if the lease is free, given back, stale or of a dead process."""
        newest = self._newest()
        return self._judge(newest) if newest else None

    def _judge(self, newest: Path) -> Holder | None:
        age = self._now() - newest.stat().st_mtime
        try:
            who = json.loads(newest.read_text())
            host, pid = str(who["host"]), int(who["pid"])
        except (ValueError, KeyError, TypeError):
            # created a moment ago and not written yet
            host, pid = "a host that has not said its name/", 0
        dead = host == this_host() and not process_alive(pid)
        return None if dead or age > self.stale else Holder(host, pid, max(age, 0.0))

    def acquire(self) -> bool:
        """Take the lease if nobody alive holds it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        newest = self._newest()
        if newest is not None and self._judge(newest) is not None:
            return False
        # the successor of the very generation that was judged: another worker may have gone on to it meanwhile
        own = self.folder / f"{self.name}.{_generation(newest) + 1 if newest else 1}"
        try:
            handle = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            return False
        with os.fdopen(handle, "w") as file:
            json.dump({"host": this_host(), "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S %z")}, file)
        self._own = own
        return True

    def wait(self, seconds: float, poll: float = 0.5) -> bool:
        """`acquire`, tried until it works or `seconds` have passed."""
        end = time.monotonic() + seconds
        while not self.acquire():
            if time.monotonic() > end:
                return False
            time.sleep(poll)
        return True

    def held(self) -> bool:
        """Whether this object still holds the highest generation."""
        return self._own is not None and self._newest() == self._own

    def release(self) -> None:
        """Give it back: the next worker need not wait until it is stale."""
        if self._own is not None and self.held():
            os.utime(self._own, (0, 0))
        self._own = None

    def __enter__(self) -> Lease:
        self._thread = threading.Thread(target=self._renew, name=f"lease {self.name}", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, traceback: TracebackType | None) -> None:
        self._done.set()
        if self._thread is not None:
            self._thread.join()
        self.release()

    def _renew(self) -> None:
        while not self._done.wait(self.stale / BEATS):
            if not self.held():
                if self._on_lost is not None:
                    self._on_lost()
                return
            assert self._own is not None
            # a folder that is away for a moment is no reason to stop: the next beat may reach it
            with contextlib.suppress(OSError):
                os.utime(self._own)

    def _newest(self) -> Path | None:
        mine = [path for path in self.folder.glob(f"{self.name}.*") if path.stem == self.name and path.suffix[1:].isdigit()]
        return max(mine, key=_generation, default=None)

    def _now(self) -> float:
        """The file server's time."""
        probe = self.folder / f".now-{uuid.uuid4().hex}"
        probe.touch()
        try:
            return probe.stat().st_mtime
        finally:
            probe.unlink()


@cache
def this_host() -> str:
    """Names the set of processes that `process_alive` can see: host, boot and, in containers, the process namespace."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    space = Path("/proc/self/ns/pid")
    parts = [socket.gethostname(), boot.read_text().strip() if boot.is_file() else ""]
    return "/".join((*parts, os.readlink(space) if space.is_symlink() else ""))


def _generation(path: Path) -> int:
    return int(path.suffix[1:])
