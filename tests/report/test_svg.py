"""Scales and marks of the charts."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from qsr.report import svg
from qsr.report.svg import Scale, nice_step, tick_text

VALUES = st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=20)


@given(values=VALUES)
def test_every_value_lies_inside_the_chart(values):
    scale = Scale.around(values, 400, 10)
    assert all(10 <= scale.at(value) <= 400 for value in values)
    assert scale.at(max(values)) <= scale.at(min(values))


@given(values=st.lists(st.floats(1e-5, 1e5), min_size=1, max_size=20))
def test_logarithmic_values_too_and_equal_factors_are_equal_steps(values):
    scale = Scale.around(values, 0, 400, log=True)
    assert all(0 <= scale.at(value) <= 400 for value in values)
    exact = Scale(1, 1000, 0, 300, log=True)
    assert [exact.at(value) for value in (1, 10, 100, 1000)] == [0, 100, 200, 300]


@pytest.mark.parametrize("log", [False, True])
def test_a_widened_scale_has_its_values_where_they_were(log):
    scale = Scale(10, 1000, 100, 400, log)
    wide = scale.widened(40)
    assert wide.start == 40
    assert [wide.at(value) for value in (10, 55, 1000)] == pytest.approx(
        [scale.at(value) for value in (10, 55, 1000)], abs=0.11
    )
    assert wide.at(wide.low) == 40


@given(low=st.floats(-1000, 1000), width=st.floats(0.01, 1000))
def test_ticks_are_round_few_and_inside(low, width):
    scale = Scale(low, low + width, 0, 100)
    ticks = scale.ticks()
    assert 2 <= len(ticks) <= 6
    assert all(low - width * 1e-6 <= tick <= low + width * (1 + 1e-6) for tick in ticks)


@given(low=st.floats(1e-4, 1e3), factor=st.floats(1.2, 1e6))
def test_logarithmic_ticks_are_inside(low, factor):
    ticks = Scale(low, low * factor, 0, 100, log=True).ticks()
    assert len(ticks) >= 2
    assert ticks == sorted(set(ticks))
    assert all(low * (1 - 1e-6) <= tick <= low * factor * (1 + 1e-6) for tick in ticks)


@given(raw=st.floats(1e-6, 1e6))
def test_nice_steps(raw):
    step = nice_step(raw)
    assert raw * (1 - 1e-6) <= step <= raw * 2.5 * (1 + 1e-6)
    assume(step >= 1)
    assert str(int(step)).rstrip("0") in ("1", "2", "5")


def test_tick_text():
    assert [tick_text(value) for value in (0.1 + 0.2, 36.5, 1500, 20000.0)] == ["0.3", "36.5", "1500", "20k"]


@pytest.mark.parametrize("shape", svg.SHAPES)
def test_marks_are_drawn_around_their_place(shape):
    found = ET.fromstring(svg.marker(shape, 50, 60, 5))
    if shape == "circle":
        assert (found.get("cx"), found.get("cy"), found.get("r")) == ("50", "60", "5")
        return
    corners = [tuple(map(float, pair.split(","))) for pair in found.get("points").split()]
    xs, ys = zip(*corners)
    assert max(xs) + min(xs) == pytest.approx(100)
    assert abs((max(ys) + min(ys)) / 2 - 60) <= 1


def test_a_chart_has_a_name_and_its_words_are_escaped():
    drawn = svg.chart(100, 50, "a < b", svg.label(1, 2, "<x>"))
    found = ET.fromstring(drawn)
    assert (found.get("role"), found.get("aria-label")) == ("img", "a < b")
    assert "".join(found.itertext()) == "<x>"


def test_axes_label_their_ticks():
    found = ET.fromstring(svg.axes(Scale(0, 10, 0, 100), Scale(30, 40, 100, 0), "iteration", "dB"))
    assert {"iteration", "dB", "10", "30", "40"} <= set(found.itertext())
