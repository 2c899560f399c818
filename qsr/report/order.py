"""Who is first, and is the order that of the papers? Rank correlation, and wins that are larger than the seeds' spread.

>>> spearman([3.0, 2.0, 1.0], [30.0, 20.0, 10.0])
1.0
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qsr.report.board import Row

FEWEST = 3  # rows below which a rank correlation says nothing


@dataclass(frozen=True)
class Standing:
    """The head of one group on one set, best first.

    first: the best mean. level: rows behind it that are not to be called worse. second: the row after those, None if
    there is none. certain: whether the first has more than one seed; without, nothing can be called a win.
    """

    first: Row
    level: tuple[Row, ...]
    second: Row | None
    certain: bool
    dataset: str

    @property
    def won(self) -> bool:
        return self.certain and not self.level and self.second is not None

    @property
    def spread(self) -> float | None:
        return self.first.mean[self.dataset].spread

    @property
    def lead(self) -> float | None:
        """dB from the first to the row next to it."""
        follower = self.level[0] if self.level else self.second
        return None if follower is None else _psnr(self.first, self.dataset) - _psnr(follower, self.dataset)


def standing(rows: Sequence[Row], dataset: str) -> Standing | None:
    """How the measured rows stand on a set; None if none is measured.

    A row is level with the first if their means differ by no more than the larger of their spreads. Where a spread is
    unknown because there is one seed, the other's has to do, except for the runner-up, who is then always level.
    Rows of a self-ensemble take no part: eight passes are not compared with one.
    """
    ranked = ranking([row for row in rows if not row.ensemble], dataset)
    if not ranked:
        return None
    first, others = ranked[0], ranked[1:]

    def near(row: Row) -> bool:
        spreads = (first.mean[dataset].spread, row.mean[dataset].spread)
        known = [spread for spread in spreads if spread is not None]
        if len(known) < 2 and row is others[0]:
            return True
        return _psnr(first, dataset) - _psnr(row, dataset) <= max(known, default=0.0)

    level = tuple(row for row in others if near(row))
    second = next((row for row in others if row not in level), None)
    return Standing(first, level, second, first.mean[dataset].spread is not None, dataset)


def ranking(rows: Sequence[Row], dataset: str) -> list[Row]:
    """The rows measured on a set, best first."""
    return sorted((row for row in rows if row.psnr(dataset) is not None), key=lambda row: -_psnr(row, dataset))


def both(rows: Sequence[Row], dataset: str) -> list[tuple[Row, float, float]]:
    """(row, our PSNR, published PSNR) of the rows that have both, our best first.

    Of several rows with one published counterpart (variants of a method) the first of `rows` counts.
    """
    pairs: dict[str, tuple[Row, float, float]] = {}
    for row in rows:
        ours, theirs = row.psnr(dataset), row.published.get(dataset)
        if ours is not None and theirs is not None and theirs.psnr is not None:
            pairs.setdefault(row.published_as or row.name, (row, ours, theirs.psnr))
    return sorted(pairs.values(), key=lambda pair: -pair[1])


def spearman(left: Sequence[float], right: Sequence[float]) -> float | None:
    """Spearman's rank correlation in [-1, 1], equal values sharing their mean rank.

    None below three pairs, and where one side is constant, for which it is not defined.
    """
    if len(left) != len(right):
        raise ValueError(f"{len(left)} and {len(right)} values cannot be paired")
    if len(left) < FEWEST:
        return None
    a, b = ranks(left), ranks(right)
    middle = (len(a) + 1) / 2
    covariance = math.fsum((x - middle) * (y - middle) for x, y in zip(a, b))
    norm = math.sqrt(math.fsum((x - middle) ** 2 for x in a) * math.fsum((y - middle) ** 2 for y in b))
    return covariance / norm if norm else None


def ranks(values: Sequence[float]) -> list[float]:
    """1 for the largest value; equal values share the mean of their places.

    >>> ranks([5.0, 7.0, 5.0])
    [2.5, 1.0, 2.5]
    """
    return [1 + sum(other > value for other in values) + (sum(other == value for other in values) - 1) / 2 for value in values]


def _psnr(row: Row, dataset: str) -> float:
    value = row.psnr(dataset)
    assert value is not None
    return value
