"""Where the pictures of a set lie: a folder of files, or an LMDB in BasicSR's layout. Both are read the same way.

A store knows names, sizes and pixels. Which LR belongs to which HR is decided in pairs.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, Protocol
from weakref import WeakValueDictionary

import numpy as np

from qsr.data import image
from qsr.errors import DataError, EnvironmentFault

MAX_LISTING = 64 << 20  # bytes

# LMDB forbids opening a database twice in one process; a training and a validation set may share one
_open_environments: WeakValueDictionary[tuple[int, int], Any] = WeakValueDictionary()
_open_lock = Lock()


class Store(Protocol):
    """Pictures by position. `names` are file names without suffix, unique within the store."""

    names: tuple[str, ...]

    def size(self, i: int) -> tuple[int, int]:
        """(height, width) of picture i, without decoding it."""

    def read(self, i: int) -> np.ndarray:
        """Picture i as (h, w, 3) uint8 RGB; DataError names it."""

    def where(self, i: int) -> str:
        """The words that point a user at picture i."""


class FolderStore:
    """Picture files, in the order given."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = tuple(paths)
        self.names = unique_stems(self.paths)

    def size(self, i: int) -> tuple[int, int]:
        return image.size_of(self.paths[i])

    def read(self, i: int) -> np.ndarray:
        return image.read_rgb(self.paths[i])

    def where(self, i: int) -> str:
        return str(self.paths[i])


class LmdbStore:
    """An LMDB folder (`data.mdb`, `meta_info.txt` with lines `name.png (h,w,c) level`). Safe to read from threads.

    LMDB itself is not hardened against hostile files: open only databases that you or someone you trust wrote.
    """

    def __init__(self, root: Path | str, names: Iterable[str] | None = None) -> None:
        self.root = Path(root)
        sizes = read_meta_info(self.root)
        self.names = tuple(sizes if names is None else names)
        missing = [name for name in self.names if name not in sizes]
        if missing:
            raise DataError(f"{len(missing)} wanted keys are missing, for instance {missing[0]!r}", where=str(self.root))
        self._sizes = [sizes[name] for name in self.names]
        self._env = _open_lmdb(self.root)

    def size(self, i: int) -> tuple[int, int]:
        return self._sizes[i]

    def read(self, i: int) -> np.ndarray:
        with self._env.begin(write=False) as transaction:
            data = transaction.get(self.names[i].encode())
        if data is None:
            raise DataError("the key is in meta_info.txt but not in the database", where=self.where(i))
        picture = image.decode_rgb(data, self.where(i))
        if picture.shape[:2] != self._sizes[i]:
            found = "x".join(map(str, picture.shape[:2]))
            raise DataError(f"decoded to {found}, but meta_info.txt says {self._sizes[i]}", where=self.where(i))
        return picture

    def where(self, i: int) -> str:
        return f"{self.root}:{self.names[i]}"

    @property
    def entries(self) -> int:
        """Pictures in the database itself, whatever meta_info.txt lists."""
        return self._env.stat()["entries"]


def unique_stems(paths: Sequence[Path]) -> tuple[str, ...]:
    """File names without suffix; DataError when two files share one (baby.png and baby.jpg)."""
    seen: dict[str, Path] = {}
    for path in paths:
        if path.stem in seen:
            raise DataError(f"{path.name} and {seen[path.stem].name} share the name {path.stem!r}", where=str(path.parent))
        seen[path.stem] = path
    return tuple(seen)


def listing(path: Path | str) -> list[str]:
    """The lines of a file that lists pictures. Raises OSError, and ValueError for more than MAX_LISTING bytes and no UTF-8."""
    with open(path, "rb") as handle:
        data = handle.read(MAX_LISTING + 1)
    if len(data) > MAX_LISTING:
        raise ValueError(f"found more than {MAX_LISTING:,} bytes, the lines of a million pictures; split the set")
    return data.decode().splitlines()


def read_meta_info(root: Path) -> dict[str, tuple[int, int]]:
    """{key: (height, width)} of an LMDB's meta_info.txt; DataError names file and line."""
    path = root / "meta_info.txt"
    try:
        lines = listing(path)
    except (OSError, ValueError) as fault:
        raise DataError(f"cannot read meta_info.txt: {fault}", where=str(root), hint="build it with `qsr data lmdb`") from fault
    sizes: dict[str, tuple[int, int]] = {}
    for number, line in enumerate(lines, 1):
        # name.png (h,w,c) level; the name may hold blanks, so it is cut from the right
        name, bracket, rest = line.rpartition(" (")
        numbers = rest.partition(")")[0].split(",")
        if not bracket or len(numbers) != 3 or not all(n.strip().isdigit() for n in numbers):
            raise DataError("expected `name.png (h,w,c) level`", where=f"{path}:{number}")
        key = Path(name).stem
        if key in sizes:
            raise DataError(f"key {key!r} is listed twice", where=f"{path}:{number}")
        sizes[key] = (int(numbers[0]), int(numbers[1]))
    return sizes


def _open_lmdb(root: Path) -> Any:
    try:
        import lmdb
    except ImportError as fault:
        raise EnvironmentFault("reading an LMDB needs the package lmdb", hint="install qsr[lmdb]") from fault
    try:
        file = (root / "data.mdb").stat()
        with _open_lock:
            env = _open_environments.get((file.st_dev, file.st_ino))
            if env is None:
                # no lock file: the set may lie on a read-only disk; no readahead: samples jump around
                env = lmdb.open(str(root), readonly=True, lock=False, readahead=False, max_readers=64, create=False)
                _open_environments[file.st_dev, file.st_ino] = env
        return env
    except (lmdb.Error, OSError) as fault:
        raise DataError(f"not a readable LMDB: {fault}", where=str(root)) from fault
