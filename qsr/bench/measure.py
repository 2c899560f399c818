"""Interleaved timing: every rival runs once per round, the rounds are many, medians and spreads are kept."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one rival. ratio: median over rounds of its time over the first rival's in the same round."""

    median: float
    fastest: float
    slowest: float
    rounds: int
    ratio: float

    def to_json(self) -> dict[str, Any]:
        return {
            "median_ms": self.median,
            "min_ms": self.fastest,
            "max_ms": self.slowest,
            "rounds": self.rounds,
            "ratio": self.ratio,
        }


def interleaved(
    rivals: Mapping[str, Callable[[], object]],
    rounds: int = 0,
    seconds: float = 20.0,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Time every rival in turn. rounds: 0 runs at least 5 and at most 50 rounds, within about `seconds` (after a warm-up).

    The order turns round every time, so that nobody always runs in the wake of the same rival.
    """
    first = clock()
    for run in rivals.values():
        run()
    one_round = clock() - first
    count = rounds or max(5, min(50, int(seconds / max(one_round, 1e-9))))
    times: dict[str, list[float]] = {name: [] for name in rivals}
    names = list(rivals)
    for number in range(count):
        for name in names if number % 2 == 0 else reversed(names):
            start = clock()
            rivals[name]()
            times[name].append(1e3 * (clock() - start))
    base = times[names[0]]
    return {
        name: Timing(
            statistics.median(found),
            min(found),
            max(found),
            count,
            statistics.median(one / ours for one, ours in zip(found, base)),
        )
        for name, found in times.items()
    }
