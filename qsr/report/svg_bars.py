"""Bars that lie, one per thing that is compared, the largest on top."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qsr.report import svg
from qsr.report.html import Markup, tag

WIDTH, ROW = 300, 20
NAMES, VALUES = 96, 46


@dataclass(frozen=True)
class Bar:
    """value: None where there is none; such bars come last, as n/a. spread: of the value over seeds, or None."""

    words: str
    value: float | None
    colour: int
    spread: float | None = None


def bar_chart(bars: Sequence[Bar], title: str, reference: float | None = 1.0) -> Markup:
    """The chart; bars begin at zero. reference: a value that is marked by a line across (full precision)."""
    known = [bar.value + (bar.spread or 0) / 2 for bar in bars if bar.value is not None]
    most = max([*known, reference or 0.0, 1e-9])
    scale = svg.Scale(0.0, most * 1.02, NAMES, WIDTH - VALUES)
    ordered = sorted(bars, key=lambda bar: (bar.value is None, -(bar.value or 0.0)))
    height = ROW * len(ordered) + 8
    rows = [_bar(bar, 4 + ROW * place, scale) for place, bar in enumerate(ordered)]
    mark = [] if reference is None else [svg.line(scale.at(reference), 0, scale.at(reference), height, "grid")]
    return svg.chart(WIDTH, height, title, *mark, *rows)


def _bar(bar: Bar, top: float, scale: svg.Scale) -> Markup:
    middle = top + ROW / 2 + 3.5
    name = svg.label(NAMES - 6, middle, bar.words, "end")
    if bar.value is None:
        return tag("g", name, svg.label(NAMES + 4, middle, "n/a"))
    end = scale.at(bar.value)
    box = tag(
        "rect",
        tag("title", f"{bar.words}: {bar.value:.3f}"),
        x=NAMES,
        y=f"{top + 3:g}",
        width=f"{max(end - NAMES, 1):g}",
        height=ROW - 6,
        class_=f"mark s{bar.colour % svg.COLOURS}",
    )
    parts = [name, box]
    far = end
    if bar.spread is not None:
        low, far = scale.at(bar.value - bar.spread / 2), scale.at(bar.value + bar.spread / 2)
        parts.append(svg.line(low, top + ROW / 2, far, top + ROW / 2, "axis"))
    return tag("g", *parts, svg.label(max(far, end) + 5, middle, f"{bar.value:.3f}"))
