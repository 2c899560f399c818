"""The disk that experiments are written to: is there room, is it quick, does fsync wait for it, and does it have locks?"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from qsr.doctor.check import Finding, fail, ok, warn
from qsr.doctor.worker import python
from qsr.errors import EnvironmentFault, ExperimentBusy
from qsr.files import fsync_directory, process_alive, storage_fault

PREFIX = ".qsr-doctor-"
PIECE = 1 << 20
MOST = 64  # pieces that are written
LONGEST = 3.0  # seconds for that
SYNCS = 15
ROOM_LOW = 2 << 30
SLOW = 10 << 20  # bytes per second
TOO_FAST = 30e-6  # seconds; an fsync that reaches a medium takes longer, whatever the medium
TOO_SLOW = 0.5
IN_MEMORY = {"tmpfs", "ramfs", "devtmpfs"}
REMOTE = {"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph", "lustre", "gpfs", "beegfs", "afs", "virtiofs"}
ELSEWHERE = "choose a folder on another disk: --set path.experiments_root=FOLDER"
HOLD = (
    "import json, sys, time; sys.path[:] = json.loads(sys.argv[1])\n"
    "from pathlib import Path; from qsr.train.lock import ExperimentLock\n"
    "with ExperimentLock(Path(sys.argv[2])): print('held', flush=True); time.sleep(600)"
)


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """A new folder on the disk of `folder` (which need not exist), removed at the end. EnvironmentFault if none can be made."""
    place = nearest(folder) / f"{PREFIX}{os.getpid()}"
    try:
        place.mkdir()
    except OSError as fault:
        raise EnvironmentFault(f"cannot write: {fault.strerror}", where=str(place.parent), hint=ELSEWHERE) from fault
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what workers that died left behind."""
    for place in nearest(folder).glob(f"{PREFIX}*"):
        number = place.name.removeprefix(PREFIX)
        if number.isdigit() and not process_alive(int(number)):
            shutil.rmtree(place, ignore_errors=True)


def nearest(folder: Path) -> Path:
    """The folder itself, or its next ancestor that exists."""
    folder = Path(os.path.abspath(folder))
    return next(path for path in (folder, *folder.parents) if path.is_dir())


@dataclass(frozen=True)
class Filesystem:
    """kind: as `mount` calls it, "" where nobody says. options: of the mount and of the filesystem."""

    kind: str
    options: frozenset[str] = frozenset()


def filesystem(path: Path, mountinfo: Path = Path("/proc/self/mountinfo")) -> Filesystem:
    """What `path` lies on: of the mounts above it the deepest, and of several at one place the last."""
    found, depth, path = Filesystem(""), -1, path.resolve()
    for line in mountinfo.read_text(errors="replace").splitlines() if mountinfo.is_file() else ():
        head, _, tail = line.partition(" - ")
        fields, (kind, _, options) = head.split(), tail.split(maxsplit=2)
        point = Path(fields[4].encode().decode("unicode_escape"))  # a blank is \\040
        if path.is_relative_to(point) and len(point.parts) >= depth:
            found, depth = Filesystem(kind, frozenset((*fields[5].split(","), *options.split(",")))), len(point.parts)
    return found


def check_disk(folder: Path) -> Finding:
    with scratch(folder) as place:
        disk, room = filesystem(place), os.statvfs(place)
        free = room.f_bavail * room.f_frsize
        try:
            speed, same = _speed(place / "content")
            waits = [_sync(place / "small") for _ in range(SYNCS)]
            begin = time.perf_counter()
            fsync_directory(place)
            directory = time.perf_counter() - begin
        except OSError as fault:
            raise storage_fault(place / "content", MOST * PIECE, fault) from fault
    wait = statistics.median(waits)
    facts = {
        "filesystem": disk.kind,
        "free": free,
        "bytes_per_second": speed,
        "fsync_seconds": sorted(waits),
        "fsync_folder_seconds": directory,
    }
    where = f"{nearest(folder)}: {disk.kind or 'unknown'}, {free / 2**30:.1f} GiB free"
    shown = f"{where}, {speed / 2**20:,.0f} MiB/s, fsync {milliseconds(wait)}"
    if not same:
        return fail(f"{shown}; what was written is not what is read", "do not train here: this disk loses data", **facts)
    return _judge(disk, free, speed, wait, shown, facts)


def _judge(disk: Filesystem, free: int, speed: float, wait: float, shown: str, facts: dict[str, object]) -> Finding:
    """The first reservation about a disk that works, the gravest first."""
    if disk.kind in IN_MEMORY:
        return warn(f"{shown}: in memory, experiments are gone after a restart", ELSEWHERE, **facts)
    if disk.kind == "overlay" and "volatile" in disk.options:
        return warn(f"{shown}: mounted `volatile`, fsync does nothing", "mount a volume for experiments", **facts)
    if wait < TOO_FAST:
        found = f"{shown}: no disk is as fast; fsync does not wait, and a power cut may cost the newest checkpoints"
        return warn(found, "look for eatmydata, a cache mode `unsafe` of the virtual machine, or mount options", **facts)
    if disk.kind == "overlay":
        return warn(
            f"{shown}: a container's own layer, experiments are gone with it", "mount a volume for experiments", **facts
        )
    if disk.kind in REMOTE:
        return warn(
            f"{shown}: a network filesystem, whose fsync promises less", "a local disk, and copies on the network", **facts
        )
    if free < ROOM_LOW:
        return warn(f"{shown}: little room", "free some space; keep_checkpoints: 1 needs the least", **facts)
    if wait > TOO_SLOW or speed < SLOW:
        return warn(f"{shown}: slow, and every save waits for it", "save less often (logger.save_checkpoint_freq)", **facts)
    return ok(shown, **facts)


def _speed(path: Path) -> tuple[float, bool]:
    """(bytes per second of writing with the fsync at the end, whether reading gives the same)."""
    piece, written, wrote = os.urandom(PIECE), hashlib.sha256(), 0
    begin = time.perf_counter()
    with open(path, "wb") as handle:
        while wrote < MOST and time.perf_counter() - begin < LONGEST:
            handle.write(piece)
            wrote += 1
        handle.flush()
        os.fsync(handle.fileno())
        seconds = time.perf_counter() - begin
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # from the disk, not from memory
    for _ in range(wrote):
        written.update(piece)
    with open(path, "rb") as handle:
        return wrote * PIECE / seconds, hashlib.file_digest(handle, "sha256").digest() == written.digest()


def _sync(path: Path) -> float:
    """Seconds of one fsync after 4 KiB more."""
    with open(path, "ab") as handle:
        handle.write(os.urandom(4096))
        handle.flush()
        begin = time.perf_counter()
        os.fsync(handle.fileno())
        return time.perf_counter() - begin


def milliseconds(seconds: float) -> str:
    """
    >>> milliseconds(0.00234), milliseconds(0.0000021)
    ('2.3 ms', '2 us')
    """
    return f"{seconds * 1e3:.1f} ms" if seconds >= 1e-4 else f"{seconds * 1e6:.0f} us"


def check_locks(folder: Path) -> Finding:
    """A second process is refused while the first lives, and takes over when it has been killed."""
    from qsr.train.lock import ExperimentLock

    with scratch(folder) as place:
        holder = subprocess.Popen(
            [*python(), "-c", HOLD, json.dumps(sys.path), str(place)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert holder.stdout is not None
            if holder.stdout.readline() != "held\n":
                raise RuntimeError(f"another process got no lock: {holder.communicate()[1].strip().splitlines()[-1:]}")
            try:
                with ExperimentLock(place):
                    return fail(f"{place.parent}: two processes hold the lock of one experiment", ELSEWHERE)
            except ExperimentBusy as fault:
                if str(holder.pid) not in fault.message:
                    return fail(f"the lock's holder is not named: {fault.message}", "report this line")
        finally:
            holder.kill()
            holder.communicate()
        try:
            with ExperimentLock(place):
                return ok("a second process is refused; a killed one's lock is free at once")
        except ExperimentBusy as fault:
            return fail(f"the lock of a killed process is still held: {fault.message}", ELSEWHERE)
