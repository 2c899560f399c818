"""Line charts: what is drawn where, and that smoothing invents no ends."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from qsr.report.svg_lines import HEIGHT, TOP, Series, line_chart, line_legend, smoothed


def drawn(series, **how):
    root = ET.fromstring(line_chart(series, "a chart", "loss", **how))
    lines = [line for line in root.iter("polyline") if "curve" in line.get("class")]
    return [[tuple(map(float, pair.split(","))) for pair in line.get("points").split()] for line in lines]


def test_larger_values_are_higher_and_later_ones_further_right():
    (points,) = drawn([Series("a", "A", ((0, 1.0), (10, 2.0), (20, 4.0)), 0)])
    xs, ys = zip(*points)
    assert list(xs) == sorted(xs)
    assert list(ys) == sorted(ys, reverse=True)
    assert all(TOP <= y <= HEIGHT for y in ys)
    assert abs((ys[0] - ys[1]) * 2 - (ys[1] - ys[2])) < 0.5


def test_logarithmic_and_without_what_has_no_logarithm():
    (points,) = drawn([Series("a", "A", ((0, 1.0), (5, 0.0), (10, 2.0), (20, 4.0)), 0)], log=True)
    _, ys = zip(*points)
    assert len(ys) == 3
    assert abs((ys[0] - ys[1]) - (ys[1] - ys[2])) < 0.5


def test_one_point_is_a_mark_and_none_is_nothing():
    text = line_chart([Series("a", "A", ((5, 1.0),), 0), Series("b", "B", (), 1)], "a chart", "dB")
    root = ET.fromstring(text)
    assert len(list(root.iter("circle"))) == 1
    assert 'data-series="b"' not in text


def test_seeds_share_one_entry_of_the_legend():
    series = [Series("a", "A", ((0, 1.0),), 0), Series("a", "A", ((0, 2.0),), 0, lead=False), Series("b", "B", ((0, 1.0),), 11)]
    root = ET.fromstring(line_legend(series))
    assert ["".join(item.itertext()) for item in root] == ["A", "B"]
    assert root[1].find(".//polyline").get("stroke-dasharray")  # the eleventh colour is the first one, dashed


def test_smoothing_is_a_centred_mean_without_invented_ends():
    points = tuple((i, float(i)) for i in range(40))
    assert smoothed(points, 9) == points[4:-4]
    assert smoothed(points[:10], 9) == points[:10]
