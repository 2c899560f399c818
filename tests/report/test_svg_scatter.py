"""The scatter chart: marks where they belong, names that do not cover each other, and the front."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from qsr.report.svg_scatter import WIDTH, Point, pareto, scatter_chart, scatter_legend


def point(x, y, words="a", kind=0):
    return Point(x, y, words, f"more of {words}", kind, f"group {kind}")


def test_the_front_is_what_nothing_cheaper_beats():
    kept = pareto([point(3, 36), point(1, 34), point(2, 33), point(2, 35), point(4, 36)])
    assert [(p.x, p.y) for p in kept] == [(1, 34), (2, 35), (3, 36)]


@given(values=st.lists(st.tuples(st.floats(1, 1e4), st.floats(20, 40)), min_size=1, max_size=12))
def test_every_point_has_a_mark_a_name_and_a_group(values):
    points = [point(x, y, f"row {i}", i % 7) for i, (x, y) in enumerate(values)]
    root = ET.fromstring(scatter_chart(points, "t", "params", "dB"))
    groups = [g for g in root.iter("g") if g.get("data-group")]
    assert [g.find(".//title").text for g in groups] == [p.more for p in points]
    assert [g.find(".//text").text for g in groups] == [p.words for p in points]
    assert [g.get("data-group") for g in groups] == [p.key for p in points]


def test_names_of_equal_costs_are_moved_apart():
    points = [point(10, 36 + i / 100, f"method {i}") for i in range(8)]
    root = ET.fromstring(scatter_chart(points, "t", "params", "dB"))
    names = [text for g in root.iter("g") if g.get("data-group") for text in g.iter("text")]
    places = [(text.get("text-anchor"), float(text.get("x")), float(text.get("y"))) for text in names]
    for i, (anchor, x, y) in enumerate(places):
        for other_anchor, other_x, other_y in places[:i]:
            assert (anchor, x) != (other_anchor, other_x) or abs(y - other_y) >= 12 - 0.2
    assert all(0 < x < WIDTH for _, x, _ in places)


def test_a_long_name_is_cut_and_kept_whole_in_the_title():
    text = scatter_chart([Point(1, 30, "n" * 40, "n" * 40, 0, "g")], "t", "params", "dB")
    words = [element.text for element in ET.fromstring(text).iter("text")]
    assert "n" * 21 + "…" in words
    assert "n" * 40 in text


def test_the_legend_names_every_group_once():
    root = ET.fromstring(scatter_legend([point(1, 30, kind=1), point(2, 31, kind=0), point(3, 32, kind=1)]))
    assert ["".join(item.itertext()) for item in root] == ["group 0", "group 1"]
