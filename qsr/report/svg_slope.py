"""The slope chart: one order on the left, another on the right, a line for each that is in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qsr.report import svg
from qsr.report.html import Markup, tag

WIDTH, LINE, TOP = 480, 22, 30
LEFT, RIGHT = 190, 290  # where the sloping lines begin and end


@dataclass(frozen=True)
class Pair:
    """One name with its two values; larger is better on both sides."""

    words: str
    left: float
    right: float


def slope_chart(pairs: Sequence[Pair], title: str, heads: tuple[str, str], digits: int = 2) -> Markup:
    """The chart. Lines that cross another one by a place or more are drawn strong: those are the inversions."""
    lefts = _places([pair.left for pair in pairs])
    rights = _places([pair.right for pair in pairs])
    parts: list[Markup] = [
        svg.label(LEFT - 8, 14, heads[0], "end", "title"),
        svg.label(RIGHT + 8, 14, heads[1], "start", "title"),
    ]
    for pair, a, b in zip(pairs, lefts, rights):
        y1, y2 = TOP + LINE * a, TOP + LINE * b
        class_ = "slope" if a == b else "slope up" if a < b else "slope down"
        words = pair.words if len(pair.words) <= 22 else pair.words[:21] + "…"
        parts.append(
            tag(
                "g",
                tag("title", f"{pair.words}: place {a + 1} and {b + 1}"),
                svg.line(LEFT, y1, RIGHT, y2, class_),
                svg.marker("circle", LEFT, y1, 3.5, class_=class_),
                svg.marker("circle", RIGHT, y2, 3.5, class_=class_),
                svg.label(LEFT - 8, y1 + 4, f"{words}  {pair.left:.{digits}f}", "end"),
                svg.label(RIGHT + 8, y2 + 4, f"{pair.right:.{digits}f}  {words}"),
            )
        )
    return svg.chart(WIDTH, TOP + LINE * len(pairs), title, *parts)


def _places(values: Sequence[float]) -> list[int]:
    """0 for the largest; equal values keep the order they came in."""
    order = sorted(range(len(values)), key=lambda i: -values[i])
    places = [0] * len(values)
    for place, i in enumerate(order):
        places[i] = place
    return places
