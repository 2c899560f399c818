"""Latencies beside those that were stored on the same kind of machine: which have become slower, and by how much.

Milliseconds of two days differ by what else a machine did. So every case runs in turn with a yardstick, work that never
changes, and is compared as a multiple of it; the median of many rounds counts. Five per cent are worth a look, fifteen fail.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from qsr.errors import FormatError
from qsr.files import write_atomic
from qsr.jsonfile import read_json
from qsr.runtime.cpu import cpu_name, isa_flags

FORMAT = "qsr.latency/1"
ROUNDS = 15
WARN, FAIL = 1.05, 1.15
YARDSTICK = "yardstick"
Verdict = Literal["faster", "same", "warn", "fail", "new", "gone"]


@dataclass(frozen=True)
class Baseline:
    """ms: median of each case, the yardstick among them. flags: what the processor can do; made: a date."""

    cpu: str
    flags: tuple[str, ...]
    made: str
    ms: dict[str, float]


@dataclass(frozen=True)
class Change:
    """One case. ratio: now over before, both as multiples of the yardstick; 1 where there is nothing to compare."""

    name: str
    before: float | None
    now: float | None
    ratio: float
    verdict: Verdict

    def line(self) -> str:
        """One row of a table."""
        shown = [f"{value:9.3f}" if value is not None else "        -" for value in (self.before, self.now)]
        return f"{self.verdict:<6} {self.ratio:6.3f}  {shown[0]} -> {shown[1]} ms  {self.name}"


def medians(cases: Mapping[str, Callable[[], float]], rounds: int = ROUNDS) -> dict[str, float]:
    """Median milliseconds of each case over `rounds`, one after the other in every round, the order turned round each time.

    A case does its work once and returns the seconds that count. Each runs once before, uncounted.
    """
    for work in cases.values():
        work()
    times: dict[str, list[float]] = {name: [] for name in cases}
    names = list(cases)
    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            times[name].append(1e3 * cases[name]())
    return {name: statistics.median(found) for name, found in times.items()}


def compare(before: Mapping[str, float], now: Mapping[str, float]) -> list[Change]:
    """Every case of the two but the yardstick, the slowest first. Raises ValueError without a yardstick in both.

    >>> [change.verdict for change in compare({"yardstick": 1.0, "a": 10.0}, {"yardstick": 1.1, "a": 12.0})]
    ['warn']
    """
    if not (before.get(YARDSTICK, 0) > 0 and now.get(YARDSTICK, 0) > 0):
        raise ValueError(f"expected the milliseconds of a {YARDSTICK} in both")
    drift = now[YARDSTICK] / before[YARDSTICK]
    changes = []
    for name in {**before, **now}:
        if name == YARDSTICK:
            continue
        old, new = before.get(name), now.get(name)
        if old is None or new is None:
            changes.append(Change(name, old, new, 1.0, "new" if old is None else "gone"))
            continue
        ratio = new / old / drift
        changes.append(Change(name, old, new, ratio, judge(ratio)))
    return sorted(changes, key=lambda change: -change.ratio)


def judge(ratio: float) -> Verdict:
    """More than FAIL fails, more than WARN warns."""
    if ratio > FAIL:
        return "fail"
    if ratio > WARN:
        return "warn"
    return "faster" if ratio < 1 / WARN else "same"


def file_for(folder: Path, cpu: str | None = None) -> Path:
    """Where the baseline of this kind of machine lies: named by the processor.

    >>> file_for(Path("results"), "Some(R) CPU @ 2.0GHz (family 6, model 106)").name
    'latency_some_r_cpu_2_0ghz_family_6_model_106.json'
    """
    name = re.sub(r"[^a-z0-9]+", "_", (cpu or cpu_name()).lower()).strip("_")
    return folder / f"latency_{name}.json"


def store(folder: Path, ms: Mapping[str, float], made: str) -> Path:
    """Write the baseline of this machine; its path."""
    path = file_for(folder)
    found = Baseline(cpu_name(), isa_flags(), made, dict(ms))
    write_atomic(path, (json.dumps({"format": FORMAT, **asdict(found)}, indent=1) + "\n").encode())
    return path


def find(folder: Path) -> tuple[Baseline | None, str]:
    """The baseline for this machine, or None and why there is none. Raises FormatError for a damaged one."""
    path = file_for(folder)
    if not path.is_file():
        return None, f"no baseline for {cpu_name()}: python benchmarks/latency.py --record on a machine that is idle"
    try:
        data = read_json(path)
        if data.pop("format") != FORMAT:
            raise ValueError(f"expected format {FORMAT}")
        found = Baseline(data["cpu"], tuple(data["flags"]), data["made"], {key: float(ms) for key, ms in data["ms"].items()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
        raise FormatError(f"not a baseline: {fault}", where=str(path), hint="record it again") from fault
    if found.flags != isa_flags():
        return None, f"the baseline for {found.cpu} is of a machine with other instructions: {path.name}"
    return found, ""
