"""Parallel coordinates: one upright axis per quantity, one line per thing that is compared, broken where a value is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qsr.report import svg
from qsr.report.html import Markup, tag
from qsr.report.svg_lines import dash_of

STEP, HEIGHT = 112, 300
LEFT, TOP, BOTTOM = 60, 34, 16


@dataclass(frozen=True)
class Line:
    """values: one per axis, None where there is none. colour: picks colour and dash."""

    key: str
    words: str
    values: tuple[float | None, ...]
    colour: int


def parallel_chart(axes: Sequence[str], lines: Sequence[Line], title: str) -> Markup:
    """The chart; every axis has a range of its own, from the least to the largest of its values."""
    width = 2 * LEFT + STEP * (len(axes) - 1)
    scales = [_scale([value for line in lines if (value := line.values[place]) is not None]) for place in range(len(axes))]
    parts = [_axis(place, name, scale) for place, (name, scale) in enumerate(zip(axes, scales, strict=True))]
    drawn = [tag("g", *_runs(line, scales), data_series=line.key) for line in lines]
    return svg.chart(width, HEIGHT, title, *parts, *drawn)


def _scale(values: Sequence[float]) -> svg.Scale:
    return svg.Scale.around(values, HEIGHT - BOTTOM, TOP, room=0.05)


def _x(place: int) -> float:
    return LEFT + STEP * place


def _axis(place: int, name: str, scale: svg.Scale) -> Markup:
    x = _x(place)
    parts = [svg.line(x, TOP, x, HEIGHT - BOTTOM, "axis"), svg.label(x, TOP - 16, name, "middle", "title")]
    for value in scale.ticks(4):
        y = scale.at(value)
        parts += [svg.line(x - 3, y, x, y, "axis"), svg.label(x - 6, y + 3.5, svg.tick_text(value), "end")]
    return tag("g", *parts, aria_hidden="true")


def _runs(line: Line, scales: Sequence[svg.Scale]) -> list[Markup]:
    """The pieces between missing values, and a dot at every value, which says what it is."""
    colour = f"s{line.colour % svg.COLOURS}"
    parts: list[Markup] = []
    run: list[tuple[float, float]] = []
    for place, value in enumerate(line.values):
        if value is None:
            parts += [svg.path(run, f"curve {colour}", dash_of(line.colour))] if len(run) > 1 else []
            run = []
            continue
        at = (_x(place), scales[place].at(value))
        run.append(at)
        parts.append(svg.marker("circle", *at, 3, tag("title", f"{line.words}: {value:.3f}"), class_=f"mark {colour}"))
    return parts + ([svg.path(run, f"curve {colour}", dash_of(line.colour))] if len(run) > 1 else [])
