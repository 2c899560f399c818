"""Bars: their order, their lengths, what is missing."""

from __future__ import annotations

import re

from qsr.report.svg_bars import NAMES, Bar, bar_chart


def widths(chart: str) -> list[float]:
    return [float(found) for found in re.findall(r'<rect[^>]* width="([\d.]+)"', chart)]


def test_the_largest_on_top_and_lengths_in_proportion_to_values() -> None:
    chart = bar_chart([Bar("small", 1.0, 0), Bar("large", 2.0, 1)], "title")
    assert chart.index("large") < chart.index("small")
    long, short = widths(chart)
    assert abs(long / short - 2) < 0.02
    assert ">2.000<" in chart


def test_what_is_missing_comes_last_and_has_no_bar() -> None:
    chart = bar_chart([Bar("none", None, 0), Bar("some", 0.5, 1)], "title")
    assert chart.index("some") < chart.index("none")
    assert "n/a" in chart
    assert len(widths(chart)) == 1


def test_the_reference_is_marked_and_may_be_longer_than_every_bar() -> None:
    chart = bar_chart([Bar("half", 0.5, 0)], "title")
    mark = float(re.search(r'<line x1="([\d.]+)"', chart)[1])  # type: ignore[index]
    assert mark > NAMES + widths(chart)[0]
    assert "<line" not in bar_chart([Bar("half", 0.5, 0)], "title", reference=None)


def test_a_spread_is_a_stroke_around_the_end() -> None:
    chart = bar_chart([Bar("one", 1.0, 0, spread=0.5)], "title", reference=None)
    low, high = map(float, re.search(r'<line x1="([\d.]+)"[^>]* x2="([\d.]+)"', chart).groups())  # type: ignore[union-attr]
    end = NAMES + widths(chart)[0]
    assert abs((low + high) / 2 - end) < 0.2
    assert high > low


def test_names_are_escaped_and_no_bars_are_a_chart_too() -> None:
    assert "&lt;b&gt;" in bar_chart([Bar("<b>", 1.0, 0)], "title")
    assert "<svg" in bar_chart([], "title")
