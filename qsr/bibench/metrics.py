"""BiBench's six metrics, on plain numbers (Qin et al., ICML 2023, section 3; for super-resolution as docs/bibench.md says).

All are quadratic means, sqrt(1/N sum E^2), of a mean E over networks: a cell where binarization does well weighs more than
one where it fails. Full precision is 1 by construction; larger is better everywhere.

>>> overall([3.0, 4.0])
3.5355339059327378

A value is None where it was not measured. It is left out of every mean, and `Metric` says how many were there.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

Reading = Literal["psnr", "gain"]
READINGS: tuple[Reading, ...] = ("psnr", "gain")
"""psnr: the literal ratio of PSNRs. gain: of what they are above bicubic, which tells apart what a PSNR of 30 dB hides."""

GAP_FLOOR = 0.01  # dB; of a loss by corruption
STD_FLOOR = 1e-3  # dB; of a standard deviation over rates and schedules
WORD = 32  # bits of a full-precision value
LANES = 64  # binary multiply-accumulates that one 64-bit instruction does

Group = TypeVar("Group", bound=Hashable)


@dataclass(frozen=True)
class Metric:
    """value: None where nothing was measured. measured, wanted: cells that went into it, and those that should have."""

    value: float | None
    measured: int
    wanted: int

    @property
    def complete(self) -> bool:
        return self.measured == self.wanted


def overall(means: Sequence[float]) -> float:
    """The quadratic mean sqrt(1/N sum m^2)."""
    return math.sqrt(math.fsum(value * value for value in means) / len(means))


def grouped(cells: Iterable[tuple[Group, float | None]]) -> Metric:
    """Mean within each group, quadratic mean over the groups."""
    groups: dict[Group, list[float]] = {}
    wanted = measured = 0
    for group, value in cells:
        wanted += 1
        if value is not None:
            measured += 1
            groups.setdefault(group, []).append(value)
    if not groups:
        return Metric(None, 0, wanted)
    return Metric(overall([statistics.fmean(values) for values in groups.values()]), measured, wanted)


def gain(psnr: float, bicubic: float) -> float:
    """What a network is worth above bicubic enlargement, in dB; nothing where it is worse."""
    return max(psnr - bicubic, 0.0)


def share(binary: float | None, full: float | None, bicubic: float | None, reading: Reading) -> float | None:
    """A^bi / A of one cell. None where a value is missing, or the full-precision network itself is no better than bicubic."""
    if binary is None or full is None:
        return None
    if reading == "psnr":
        return binary / full
    if bicubic is None or gain(full, bicubic) == 0:
        return None
    return gain(binary, bicubic) / gain(full, bicubic)


def robustness(
    binary: tuple[float, float] | None, full: tuple[float, float] | None, bicubic: tuple[float, float] | None, reading: Reading
) -> float | None:
    """G / G^bi of one kind of corruption, each a pair (PSNR on clean pictures, mean PSNR on corrupted ones).

    G is what corruption costs, 0.01 dB at least. reading gain: of what the network adds to bicubic of the same input, so
    that what corruption itself has destroyed is not held against anybody.
    """
    if binary is None or full is None or (reading == "gain" and bicubic is None):
        return None
    return _gap(full, bicubic, reading) / _gap(binary, bicubic, reading)


def _gap(pair: tuple[float, float], bicubic: tuple[float, float] | None, reading: Reading) -> float:
    clean, corrupted = pair
    if reading == "gain" and bicubic is not None:
        clean, corrupted = gain(clean, bicubic[0]), gain(corrupted, bicubic[1])
    return max(clean - corrupted, GAP_FLOOR)


def storage_ratio(total: float, full: float) -> float:
    """r_c = |M| / ((|M| - |M_fp|) / 32 + |M_fp|), of parameters; full: those that stay in full precision."""
    return total / ((total - full) / WORD + full)


def speed_ratio(total: float, full: float) -> float:
    """r_s = F / ((F - F_fp) / 64 + F_fp), of operations; full: those that stay in full precision."""
    return total / ((total - full) / LANES + full)


def stability(binary: Sequence[float | None], full: Sequence[float | None]) -> float | None:
    """std(A) / std(A^bi) over the same trainings (n - 1 in the denominator, 0.001 dB at least). None unless all are there."""
    ours = [value for value in binary if value is not None]
    theirs = [value for value in full if value is not None]
    if len(ours) < len(binary) or len(theirs) < len(full) or min(len(ours), len(theirs)) < 2:
        return None
    return max(statistics.stdev(theirs), STD_FLOOR) / max(statistics.stdev(ours), STD_FLOOR)


def two_sided(first: Sequence[float | None], second: Sequence[float | None]) -> Metric:
    """sqrt((E^2(first) + E^2(second)) / 2), each a mean over networks: OM_comp, OM_train, OM_infer.

    None unless both sides were measured: half of it would be another quantity.
    """
    found = grouped([*(("first", value) for value in first), *(("second", value) for value in second)])
    both = any(value is not None for value in first) and any(value is not None for value in second)
    return found if both else Metric(None, found.measured, found.wanted)


def spread(values: Mapping[int, float | None]) -> float | None:
    """Largest minus smallest over the seeds; None for fewer than two."""
    known = [value for value in values.values() if value is not None]
    return max(known) - min(known) if len(known) > 1 else None
