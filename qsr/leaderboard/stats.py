"""What may be said about rows that were trained with few seeds: mean, spread, and who is better.

>>> wins([36.20, 36.24], [36.00, 36.05])
True
>>> wins([36.20, 36.24], [36.18, 36.25])
False
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from qsr.report.order import FEWEST, spearman

CAVEAT = (
    "ours: a small network and a CPU budget, theirs: 16 blocks of 64 features and 300,000 iterations; rows that need long "
    "training stand lower in ours"
)


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def spread(values: Sequence[float]) -> float | None:
    """Largest minus smallest over the seeds; None where there is one seed, which says nothing about another."""
    return max(values) - min(values) if len(values) > 1 else None


def wins(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether row `a` may be called better than row `b`: by more than either row's spread over its seeds.

    With one seed on either side there is no spread to compare with, and nobody wins.
    """
    if len(a) < 2 or len(b) < 2:
        return False
    return mean(a) - mean(b) > max(max(a) - min(a), max(b) - min(b))


def mean_scores(seeds: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float | None]]:
    """Per set psnr_y, ssim_y and psnr_spread over the seeds that are done and have a finite score."""
    done = [seed["scores"] for seed in seeds if seed["status"] == "done"]
    found: dict[str, dict[str, float | None]] = {}
    for name in dict.fromkeys(name for scores in done for name in scores):
        both = [scores[name] for scores in done if name in scores and scores[name]["psnr_y"] is not None]
        if both:
            psnr = [one["psnr_y"] for one in both]
            found[name] = {
                "psnr_y": mean(psnr),
                "ssim_y": mean([one["ssim_y"] for one in both]),
                "psnr_spread": spread(psnr),
            }
    return found


def order(rows: Sequence[Mapping[str, Any]], sets: Sequence[str]) -> dict[str, Any]:
    """Per group the rank correlation of our PSNR and the published one, on every set; the first set's at the top.

    Of several rows with one published counterpart (variants of a method) the first counts. Groups without any
    counterpart are left out.
    """
    found: dict[str, Any] = {}
    for group in dict.fromkeys(row["group"] for row in rows):
        by_set = {name: _correlation([row for row in rows if row["group"] == group], name) for name in sets}
        if any(entry["n"] for entry in by_set.values()):
            first = sets[0]
            found[group] = {"set": first, **by_set[first], "caveat": _caveat(by_set[first]["n"]), "sets": by_set}
    return found


def _correlation(rows: Sequence[Mapping[str, Any]], name: str) -> dict[str, Any]:
    counted: dict[str, tuple[float, float]] = {}
    for row in rows:
        if name in row["mean"] and name in row["published"]:
            counted.setdefault(row["published_as"], (row["mean"][name]["psnr_y"], row["published"][name]["psnr"]))
    ours, theirs = [a for a, _ in counted.values()], [b for _, b in counted.values()]
    return {"spearman": spearman(ours, theirs), "n": len(counted)}


def _caveat(count: int) -> str:
    return CAVEAT if count >= FEWEST else f"{count} rows have a published counterpart: too few for an order; {CAVEAT}"
