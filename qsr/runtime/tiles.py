"""How a picture is cut into tiles: each has a core, which it contributes, and a context around it, which it needs to see.

Sizes are LR pixels. With a context of the network's receptive field, tiles give the very picture that one run would give.

>>> [(s.first, s.begin, s.end, s.last) for s in spans(10, 4, 2, 1)]
[(0, 0, 4, 6), (2, 4, 8, 10), (6, 8, 10, 10)]
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

SMALLEST = 16  # pixels along a side


@dataclass(frozen=True)
class Span:
    """One axis of a tile: its core from `begin` to `end`, with context from `first` to `last`."""

    first: int
    begin: int
    end: int
    last: int


def spans(size: int, tile: int, context: int, align: int) -> list[Span]:
    """Cut an axis of `size` into cores of at most `tile`. size, tile and context are multiples of `align`, or become so."""
    return [span_at(begin, size, tile, context, align) for begin in range(0, size, up(tile, align))]


def span_at(begin: int, size: int, tile: int, context: int, align: int) -> Span:
    """The one whose core begins at `begin`, a multiple of `align`."""
    end, context = min(begin + up(tile, align), size), up(context, align)
    return Span(max(begin - context, 0), begin, end, min(end + context, size))


def halved(cores: tuple[int, int], height: int, width: int, align: int) -> tuple[int, int] | None:
    """Core sizes (rows, columns) for which a run takes less memory: the longer side by half; None below the smallest.

    >>> halved((1000, 64), 100, 64, 1), halved((16, 20), 100, 100, 1), halved((16, 16), 100, 100, 1)
    ((50, 64), (16, 16), None)
    """
    rows, columns = min(cores[0], height), min(cores[1], width)
    smallest = up(SMALLEST, align)
    if max(rows, columns) <= smallest:
        return None
    if rows >= columns:
        return max(up(rows // 2, align), smallest), columns
    return rows, max(up(columns // 2, align), smallest)


def up(value: int, multiple: int) -> int:
    """The next multiple."""
    return -(-value // multiple) * multiple


def choose(
    height: int, width: int, context: int, align: int, memory: Callable[[int, int], int], budget: int, most: int
) -> tuple[int, int]:
    """Core sizes (rows, columns) whose run stays within `budget` bytes and computes as little twice as possible.

    most: rows at most, but for the smallest tile. memory(h, w): bytes of a run, growing with both. Where not even the
    smallest tile fits, that one all the same.
    """
    smallest = up(SMALLEST, align)
    best, least = (smallest, smallest), float("inf")
    columns = up(width, align)
    while True:
        allowed = min(height, max(most // align * align, align))
        rows = _most_rows(allowed, height, columns, width, context, align, memory, budget)
        if rows:
            rows = _even(height, rows, align)
            seen = min(rows + 2 * context, height) * min(columns + 2 * context, width)
            work = seen / (min(rows, height) * min(columns, width))
            if work < least:
                best, least = (rows, columns), work
        if columns <= smallest:
            return best
        columns = max(_even(width, columns // 2, align), smallest)


def _even(size: int, tile: int, align: int) -> int:
    """A tile no larger than `tile`, but for the alignment, that cuts `size` into as many parts of nearly one size."""
    parts = -(-size // max(tile, 1))
    return up(-(-size // parts), align)


def _most_rows(
    most: int, height: int, columns: int, width: int, context: int, align: int, memory: Callable[[int, int], int], budget: int
) -> int:
    """The largest number of rows, `most` or fewer in steps of `align`, that fit beside so many columns; 0 where none do."""
    fitting, beyond = 0, up(most, align) // align + 1
    while beyond - fitting > 1:
        middle = (fitting + beyond) // 2
        if memory(min(middle * align + 2 * context, height), min(columns + 2 * context, width)) <= budget:
            fitting = middle
        else:
            beyond = middle
    return fitting * align
