"""Line charts: several series over the iterations, the values linear or logarithmic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qsr.report import svg
from qsr.report.html import Markup, tag

WIDTH, HEIGHT = 560, 320
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 10, 42


@dataclass(frozen=True)
class Series:
    """One line. key: equal for lines that belong together (seeds of a row); it picks the colour and the legend's entry.

    lead: the series that is drawn at full strength (the first seed).
    """

    key: str
    words: str
    points: tuple[tuple[float, float], ...]
    colour: int
    lead: bool = True


def line_chart(series: Sequence[Series], title: str, y_label: str, *, log: bool = False, x_label: str = "iteration") -> Markup:
    """The chart. Where log: values that are not above zero are left out."""
    kept = [(one, tuple(point for point in one.points if not log or point[1] > 0)) for one in series]
    points = [point for _, run in kept for point in run]
    x = svg.Scale.around((point[0] for point in points), LEFT, WIDTH - RIGHT, room=0.01)
    y = svg.Scale.around((point[1] for point in points), HEIGHT - BOTTOM, TOP, log=log)
    lines = [tag("g", _drawn(one, [(x.at(a), y.at(b)) for a, b in run]), data_series=one.key) for one, run in kept if run]
    return svg.chart(WIDTH, HEIGHT, title, svg.axes(x, y, x_label, y_label), *lines)


def _drawn(one: Series, points: Sequence[tuple[float, float]]) -> Markup:
    class_ = f"curve s{one.colour % svg.COLOURS}" + ("" if one.lead else " other")
    if len(points) == 1:
        return svg.marker("circle", *points[0], 3, tag("title", one.words), class_=f"mark s{one.colour % svg.COLOURS}")
    return svg.path(points, class_, dash_of(one.colour))


def dash_of(colour: int) -> str:
    """The dash pattern that tells colours apart once they repeat."""
    return svg.DASHES[colour // svg.COLOURS % len(svg.DASHES)]


def line_legend(series: Sequence[Series]) -> Markup:
    """One entry per key, in the order of `series`."""
    first = {one.key: one for one in reversed(series)}
    keys = dict.fromkeys(one.key for one in series)
    return svg.legend((first[key].words, _sample(first[key]), key) for key in keys)


def _sample(one: Series) -> Markup:
    return svg.path([(1, 7), (19, 7)], f"curve s{one.colour % svg.COLOURS}", dash_of(one.colour))


def smoothed(points: Sequence[tuple[float, float]], window: int) -> tuple[tuple[float, float], ...]:
    """Centred running mean over `window` values (odd), where there are as many; a shorter run comes back as it is.

    >>> smoothed([(1, 0.0), (2, 3.0), (3, 6.0), (4, 0.0)], 3)
    ((2, 3.0), (3, 3.0))
    """
    if len(points) < 2 * window and window > 3:
        return tuple(points)
    half = window // 2
    middles = range(half, len(points) - half)
    return tuple((points[i][0], sum(value for _, value in points[i - half : i + half + 1]) / window) for i in middles)
