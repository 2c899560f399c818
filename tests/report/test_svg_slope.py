"""The slope chart: places on both sides, and who gained or lost."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from qsr.report.svg_slope import LEFT, Pair, slope_chart


def test_inversions_are_marked_and_the_rest_is_level():
    pairs = [Pair("A", 36.0, 37.0), Pair("B", 35.0, 38.0), Pair("C", 34.0, 30.0)]
    root = ET.fromstring(slope_chart(pairs, "t", ("ours", "theirs")))
    lines = {g.find("title").text[0]: g.find("line") for g in root.iter("g")}
    assert {name: line.get("class") for name, line in lines.items()} == {"A": "slope up", "B": "slope down", "C": "slope"}
    assert lines["A"].get("y1") < lines["B"].get("y1") < lines["C"].get("y1")
    assert lines["A"].get("y2") == lines["B"].get("y1")
    assert lines["C"].get("x1") == str(LEFT)


def test_values_and_names_stand_on_both_sides():
    root = ET.fromstring(slope_chart([Pair("A & B", 36.0, 37.126)], "t", ("ours", "theirs")))
    words = [element.text for element in root.iter("text")]
    assert words == ["ours", "theirs", "A & B  36.00", "37.13  A & B"]


def test_equal_values_do_not_share_a_place():
    root = ET.fromstring(slope_chart([Pair("A", 1.0, 2.0), Pair("B", 1.0, 2.0)], "t", ("", "")))
    assert {line.get("class") for line in root.iter("line")} == {"slope"}
    assert len({line.get("y1") for line in root.iter("line")}) == 2
