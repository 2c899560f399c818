"""Decoded pictures kept in memory, when they fit.

Decoding a 481x321 JPEG and making its LR takes about 8 ms; cutting a patch from an array takes 0.02 ms.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from qsr.data.pairs import Pair, Pairs

SHARE_OF_FREE_MEMORY = 0.25
"""`cache: auto` keeps pictures when they need at most this share of the memory that is free when the run starts."""


class PairCache:
    """Pairs by position, decoded at first use. Threads may decode one twice at the start; they get equal pixels."""

    def __init__(self, pairs: Pairs, sizes: Sequence[int], wanted: Literal["auto", "memory", "none"]) -> None:
        self._pairs = pairs
        self._kept: dict[int, Pair] = {}
        self._kept_lr: dict[int, np.ndarray] = {}
        total = sum(sizes)
        # LR is 1 part in scale^2 + 1 of a pair
        total_lr = total // (pairs.scale**2 + 1)
        room = SHARE_OF_FREE_MEMORY * free_memory()
        self._keep = wanted == "memory" or (wanted == "auto" and total <= room)
        # making LR costs as much as decoding: worth keeping alone when the whole pairs do not fit
        self._keep_lr = wanted == "auto" and not self._keep and pairs.lq is None and total_lr <= room
        if self._keep:
            self.policy = f"decoded pairs in memory ({total / 2**20:.0f} MiB)"
        elif self._keep_lr:
            self.policy = f"LR pictures in memory ({total_lr / 2**20:.0f} MiB), HR decoded for every patch"
        else:
            self.policy = "every picture decoded for every patch"

    def get(self, i: int) -> Pair:
        """Pair i, from memory or decoded now; DataError names a damaged file."""
        pair = self._kept.get(i)
        if pair is None:
            pair = self._pairs.read(i, self._kept_lr.get(i))
            if self._keep:
                self._kept[i] = pair
            elif self._keep_lr:
                self._kept_lr[i] = pair.lr
        return pair


def free_memory() -> int:
    """Bytes that new data may take without swapping; a quarter of all memory where the system does not say."""
    report = Path("/proc/meminfo")
    for line in report.read_text(encoding="ascii").splitlines() if report.is_file() else ():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4
