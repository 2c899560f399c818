"""Benchmark and validation sets: found by name or alias, opened whatever folder layout they have, read pair by pair.

Shipped LR pictures are used where a set has them; otherwise LR is made from HR by MATLAB-exact bicubic and kept in
memory for the next validation. Scores are computed elsewhere (qsr/evaluate).

>>> set5 = open_set("Set5", scale=2, data_root="data")    # doctest: +SKIP
>>> set5.pair(0).lr.shape                                  # doctest: +SKIP
(256, 256, 3)
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from qsr.data.cards import find_card, known_names
from qsr.data.image import list_pictures
from qsr.data.layout import find_hr, find_lr
from qsr.data.pairs import Pair, Pairs
from qsr.data.sources import keep_listed, open_store
from qsr.data.store import FolderStore
from qsr.errors import DataError

# below a data root, sets lie directly or sorted by purpose
_SHELVES = (".", "benchmark", "benchmarks", "train")


def plain(name: str) -> str:
    """A set's or picture's name as one part of a path, wherever it came from.

    >>> plain("../../x"), plain("Set5"), plain("held-out photos"), plain("")
    ('_.._.._x', 'Set5', 'held-out photos', '_')
    """
    clean = "".join("_" if letter in "/\\" or not letter.isprintable() else letter for letter in name)
    return clean if clean and not clean.startswith(".") else f"_{clean}"


class BenchmarkSet:
    """A set opened at one scale. `images` are names without suffix, in the order of `pair(i)`."""

    def __init__(self, name: str, pairs: Pairs) -> None:
        self.name = name
        self.scale = pairs.scale
        self.images = pairs.names
        self.made_lr = pairs.lq is None
        self.pairs = pairs
        self._lr: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.images)

    def pair(self, i: int) -> Pair:
        """Pair i: lr (h, w, 3) uint8 and hr (scale h, scale w, 3) uint8. DataError names a damaged file."""
        pair = self.pairs.read(i, self._lr.get(i))
        if self.made_lr:
            self._lr[i] = pair.lr
        return pair

    def __iter__(self) -> Iterator[Pair]:
        return (self.pair(i) for i in range(len(self)))


def open_set(name_or_folder: str | Path, scale: int, data_root: str | Path | None = None) -> BenchmarkSet:
    """Open a set by name ("Set5", "BSDS100", ...) or by folder. Raises DataError when there is none.

    Names are looked up below `data_root`, $QSR_DATA and ./datasets, in this order.
    """
    root = find_root(str(name_or_folder), data_root)
    card = find_card(Path(name_or_folder).name)
    if root is None:
        root = Path(name_or_folder)
        if not root.is_dir():
            places = ", ".join(map(str, data_roots(data_root)))
            raise DataError(
                f"data set {str(name_or_folder)!r} not found below {places}",
                hint=f"known sets: {known_names()}; `qsr data list` says where they come from",
            )
    hr = FolderStore(list_pictures(find_hr(root)))
    lr = find_lr(root, scale, hr.names)
    pairs = Pairs(hr, FolderStore(lr) if lr else None, scale)
    return BenchmarkSet(card.name if card else root.resolve().name, pairs)


def open_folders(
    gt: str | Path,
    lq: str | Path | None = None,
    *,
    scale: int,
    tmpl: str = "{}",
    name: str = "",
    meta_info: str | Path | None = None,
) -> BenchmarkSet:
    """A validation set from an option file: HR folder or LMDB, LR folder or LMDB or None, and the LR naming template.

    `meta_info` is a file that lists the pictures to keep. Raises DataError for a missing folder or an unmatched pair.
    """
    gt_store = open_store(Path(gt), keep_listed(meta_info))
    lq_store = open_store(Path(lq), None, gt_store.names, tmpl) if lq is not None else None
    return BenchmarkSet(name or Path(gt).name, Pairs(gt_store, lq_store, scale))


def find_root(name: str, data_root: str | Path | None = None) -> Path | None:
    """The folder of the set called `name` (or one of its aliases, any case), or None when it is not there."""
    card = find_card(name)
    wanted = {name.lower()} | ({card.name.lower(), *(alias.lower() for alias in card.aliases)} if card else set())
    for root in data_roots(data_root):
        for shelf in _SHELVES:
            place = root / shelf
            if place.is_dir():
                for folder in sorted(place.iterdir()):
                    if folder.name.lower() in wanted and folder.is_dir():
                        return folder
    return None


def data_roots(data_root: str | Path | None = None) -> list[Path]:
    """Where sets are looked for: the argument, $QSR_DATA, ./datasets."""
    given = [data_root, os.environ.get("QSR_DATA")]
    return [Path(root) for root in given if root] + [Path("datasets")]
