"""Parallel coordinates: an axis each, a line each, gaps where values are missing."""

from __future__ import annotations

import re

from qsr.report.svg_parallel import Line, parallel_chart


def paths(chart: str) -> list[list[tuple[float, float]]]:
    found = re.findall(r'<polyline points="([^"]+)"', chart)
    return [[tuple(map(float, point.split(","))) for point in one.split(" ")] for one in found]  # type: ignore[misc]


def test_each_axis_has_its_own_range() -> None:
    chart = parallel_chart(["a", "b"], [Line("x", "X", (1.0, 100.0), 0), Line("y", "Y", (2.0, 50.0), 1)], "title")
    first, second = paths(chart)
    assert first[0][1] > second[0][1], "1 is below 2"
    assert first[1][1] < second[1][1], "100 is above 50"
    assert first[0][1] == second[1][1], "both are the least of their axis"
    assert "X: 1.000" in chart


def test_a_missing_value_breaks_the_line() -> None:
    chart = parallel_chart(list("abcde"), [Line("x", "X", (1.0, 2.0, None, 3.0, 4.0), 0)], "title")
    assert [len(run) for run in paths(chart)] == [2, 2]
    alone = parallel_chart(list("abc"), [Line("x", "X", (None, 2.0, None), 0)], "title")
    assert paths(alone) == []
    assert alone.count("<circle") == 1


def test_nothing_measured_is_a_chart_too() -> None:
    assert "<svg" in parallel_chart(["a", "b"], [Line("x", "<X>", (None, None), 0)], "title")
    assert "<svg" in parallel_chart(["a"], [], "title")
