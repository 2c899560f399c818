"""Writes an LMDB in BasicSR's layout: `data.mdb`, `lock.mdb`, `meta_info.txt` with lines `name.png (h,w,c) level`.

The database is built beside its target, counted, and renamed: there is a complete one or none. The map grows when it
is full instead of being guessed beforehand. Reading is in store.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from qsr.data.image import encode_png, list_pictures, read_rgb
from qsr.data.prepare import Notify, in_threads, silent
from qsr.data.staging import staged_folder
from qsr.data.store import unique_stems
from qsr.errors import DataError, EnvironmentFault
from qsr.files import write_synced

PER_TRANSACTION = 64
FIRST_MAP_SIZE = 16 << 20
MAX_KEY = 511  # LMDB's compiled-in limit, in bytes


def write_lmdb(source: Path, target: Path, *, level: int = 1, notify: Notify = silent) -> int:
    """Store every picture of `source` as PNG (8-bit RGB, zlib `level`) in the new LMDB folder `target`; their number.

    Keys are file names without suffix. Raises DataError for a damaged picture, two pictures of one name or a
    target that exists; EnvironmentFault when the package lmdb is missing or the disk is full.
    """
    lmdb = _lmdb()
    if target.suffix != ".lmdb":
        raise DataError("the name of an LMDB ends in .lmdb", where=str(target), hint=f"call it {target.name}.lmdb")
    paths = list_pictures(source)
    if not paths:
        raise DataError("no pictures", where=str(source))
    keys = unique_stems(paths)
    for key, path in zip(keys, paths):
        if len(key.encode()) > MAX_KEY:
            raise DataError(
                f"the name is longer than {MAX_KEY} bytes, the longest key of LMDB", where=str(path), hint="rename the file"
            )
    with staged_folder(target) as staging:
        lines = []
        # default sync: every commit is on the disk before the next begins
        with lmdb.open(str(staging), map_size=FIRST_MAP_SIZE) as env:
            for items in _encoded(paths, keys, level, notify):
                _put(env, lmdb, [(key, data) for key, data, _ in items])
                lines += [f"{key}.png ({h},{w},{c}) {level}\n" for key, _, (h, w, c) in items]
            found = env.stat()["entries"]
        if found != len(keys):
            raise DataError(f"{found} entries were stored, expected {len(keys)}", where=str(target))
        write_synced(staging / "meta_info.txt", "".join(lines).encode())
    return len(keys)


def _encoded(
    paths: Sequence[Path], keys: Sequence[str], level: int, notify: Notify
) -> Iterator[list[tuple[str, bytes, tuple[int, ...]]]]:
    # a transaction's worth at a time, so that memory does not grow with the set
    def work(item: tuple[str, Path]) -> tuple[str, bytes, tuple[int, ...]]:
        key, path = item
        picture = read_rgb(path)
        return key, encode_png(picture, level), picture.shape

    items = list(zip(keys, paths))
    for start in range(0, len(items), PER_TRANSACTION):
        encoded = in_threads(work, items[start : start + PER_TRANSACTION])
        notify(start + len(encoded), len(items))
        yield encoded


def _put(env: Any, lmdb: Any, items: Sequence[tuple[str, bytes]]) -> None:
    while True:
        try:
            with env.begin(write=True) as transaction:
                for key, data in items:
                    if not transaction.put(key.encode(), data, overwrite=False):
                        raise DataError(f"the key {key!r} came twice", where=env.path())
            return
        except lmdb.MapFullError:
            # the transaction was rolled back whole; twice the room takes at most a few rounds
            env.set_mapsize(2 * env.info()["map_size"])
        except lmdb.DiskError as fault:
            raise EnvironmentFault(f"cannot write: {fault}", where=env.path(), hint="free some space") from fault


def _lmdb() -> Any:
    try:
        import lmdb
    except ImportError as fault:
        raise EnvironmentFault("writing an LMDB needs the package lmdb", hint="install qsr[lmdb]") from fault
    return lmdb
