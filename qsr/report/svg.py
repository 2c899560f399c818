"""The few pieces that inline SVG charts are made of: scales with round ticks, axes, paths, markers.

Charts take colours from the page's style sheet (`s0`..`s9` and `currentColor`), so that they follow dark and light.

>>> Scale(0, 10, 0, 100).at(2.5)
25.0
>>> Scale(0, 10, 0, 100).ticks()
[0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from qsr.report.html import Markup, join, tag

COLOURS = 10
DASHES = ("", "6 3", "2 3")
SHAPES = ("circle", "square", "triangle", "diamond", "cross", "down")
CHARACTER = 6.2  # width of a letter at the charts' 11 px, on average; for label placement only


@dataclass(frozen=True)
class Scale:
    """Values [low, high] to pixels [start, end], linear or logarithmic (then low > 0)."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    @classmethod
    def around(cls, values: Iterable[float], start: float, end: float, *, log: bool = False, room: float = 0.06) -> Scale:
        """A scale with `room` (a part of the range) on both sides of the values; any range will do if there are none."""
        found = list(values) or [1.0]
        low, high = min(found), max(found)
        if log:
            low, high = math.log10(low), math.log10(high)
        pad = (high - low) * room or 0.5 * (1 if log else max(abs(high) * 0.02, 0.1))
        low, high = low - pad, high + pad
        return cls(10**low, 10**high, start, end, True) if log else cls(low, high, start, end)

    def widened(self, start: float) -> Scale:
        """The same places for the same values, beginning at another pixel."""
        part = (start - self.start) / (self.end - self.start)
        low = self.low * (self.high / self.low) ** part if self.log else self.low + (self.high - self.low) * part
        return Scale(low, self.high, start, self.end, self.log)

    def at(self, value: float) -> float:
        """The pixel of a value."""
        low, high = (math.log10(self.low), math.log10(self.high)) if self.log else (self.low, self.high)
        part = ((math.log10(value) if self.log else value) - low) / (high - low)
        return round(self.start + part * (self.end - self.start), 1)

    def ticks(self, count: int = 5) -> list[float]:
        """Round values inside the range: 1, 2 or 5 times a power of ten."""
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            found = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
            inside = [value for value in found if self.low <= value <= self.high]
            tens = [value for value in inside if math.isclose(math.log10(value), round(math.log10(value)), abs_tol=1e-9)]
            if len(tens) >= 4:
                return tens
            if len(inside) >= 3:
                return inside
        step = nice_step((self.high - self.low) / count)
        first = math.ceil(self.low / step - 1e-9)
        return [i * step for i in range(first, math.floor(self.high / step + 1e-9) + 1)]


def nice_step(raw: float) -> float:
    """The least of 1, 2, 5 times a power of ten that is not below `raw`."""
    power = 10.0 ** math.floor(math.log10(raw))
    return next(digit * power for digit in (1.0, 2.0, 5.0, 10.0) if digit * power >= raw * (1 - 1e-9))


def tick_text(value: float) -> str:
    """Short and without a tail of rounding: 0.05, 36.5, 20000 as 20k."""
    if abs(value) >= 10000:
        return f"{value / 1000:.4g}k"
    return f"{value:.4g}"


def chart(width: float, height: float, title: str, *parts: object) -> Markup:
    """The <svg>; `title` is what a screen reader says."""
    box = f"0 0 {width:g} {height:g}"
    return tag("svg", *parts, viewBox=box, role="img", aria_label=title, class_="chart", style=f"--w:{width:g}px")


def axes(x: Scale, y: Scale, x_label: str, y_label: str) -> Markup:
    """Grid, tick labels and axis titles. x runs from left to right, y from the bottom up (start below end in pixels)."""
    parts: list[Markup] = []
    for value in y.ticks():
        at = y.at(value)
        parts.append(line(x.start, at, x.end, at, "grid"))
        parts.append(label(x.start - 6, at + 4, tick_text(value), "end", "tick"))
    for value in x.ticks():
        at = x.at(value)
        parts.append(line(at, y.start, at, y.start + 4, "axis"))
        parts.append(label(at, y.start + 16, tick_text(value), "middle", "tick"))
    parts.append(line(x.start, y.start, x.end, y.start, "axis"))
    parts.append(label((x.start + x.end) / 2, y.start + 34, x_label, "middle", "title"))
    middle = (y.start + y.end) / 2
    parts.append(tag("text", y_label, class_="title", text_anchor="middle", transform=f"translate(12 {middle:g}) rotate(-90)"))
    return tag("g", *parts, aria_hidden="true")


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    return tag("line", x1=f"{x1:g}", y1=f"{y1:g}", x2=f"{x2:g}", y2=f"{y2:g}", class_=class_)


def label(x: float, y: float, words: object, anchor: str = "start", class_: str | None = None) -> Markup:
    return tag("text", words, x=f"{x:g}", y=f"{y:g}", text_anchor=None if anchor == "start" else anchor, class_=class_)


def path(points: Sequence[tuple[float, float]], class_: str, dash: str = "") -> Markup:
    """A line through pixels."""
    steps = " ".join(f"{x:g},{y:g}" for x, y in points)
    return tag("polyline", points=steps, class_=class_, stroke_dasharray=dash or None)


def marker(shape: str, x: float, y: float, size: float = 5, *inside: object, class_: str | None = None) -> Markup:
    """A filled shape of SHAPES with its middle at (x, y); `inside`: for instance a <title>."""
    s = size
    if shape == "circle":
        return tag("circle", *inside, cx=f"{x:g}", cy=f"{y:g}", r=f"{s:g}", class_=class_)
    corners = {
        "square": ((-s, -s), (s, -s), (s, s), (-s, s)),
        "triangle": ((0, -1.3 * s), (1.2 * s, s), (-1.2 * s, s)),
        "down": ((0, 1.3 * s), (1.2 * s, -s), (-1.2 * s, -s)),
        "diamond": ((0, -1.4 * s), (1.4 * s, 0), (0, 1.4 * s), (-1.4 * s, 0)),
        "cross": tuple((s * a, s * b) for a, b in _CROSS),
    }[shape]
    steps = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return tag("polygon", *inside, points=steps, class_=class_)


_CROSS = (
    *((-0.4, -1.2), (0.4, -1.2), (0.4, -0.4), (1.2, -0.4), (1.2, 0.4), (0.4, 0.4)),
    *((0.4, 1.2), (-0.4, 1.2), (-0.4, 0.4), (-1.2, 0.4), (-1.2, -0.4), (-0.4, -0.4)),
)


def legend(entries: Iterable[tuple[str, Markup, str]]) -> Markup:
    """(words, the mark's SVG around (10, 7), series) each; pointing at an entry brings its series out (page.js)."""
    items = [
        tag("li", tag("svg", mark, viewBox="0 0 20 14", aria_hidden="true"), tag("span", words), data_series=series, tabindex=0)
        for words, mark, series in entries
    ]
    return tag("ul", join(items), class_="legend")
