"""A real small filesystem: tmpfs, which needs root. Full is full there, and read-only is read-only even for root."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FILLER = "filler"


class NoDisk(Exception):
    """Why no filesystem can be mounted here."""


@contextmanager
def small_disk(place: Path, size: int) -> Iterator[Path]:
    """`place`, a new folder, with a filesystem of `size` bytes mounted on it; NoDisk where that is not allowed."""
    place.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "qsr-drill", str(place)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError as fault:
        raise NoDisk("no mount command") from fault
    if done.returncode:
        raise NoDisk(f"mounting a tmpfs is not allowed here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def remount(place: Path, how: str) -> None:
    """how: `ro`, `rw`."""
    subprocess.run(["mount", "-o", f"remount,{how}", str(place)], check=True)


def fill_up(place: Path, leave: int = 0) -> None:
    """Leave no more than `leave` bytes free."""
    info = os.statvfs(place)
    with open(place / FILLER, "ab") as handle:
        os.posix_fallocate(handle.fileno(), 0, max(handle.tell() + info.f_bavail * info.f_frsize - leave, 1))


def free(place: Path) -> None:
    (place / FILLER).unlink(missing_ok=True)
