"""Training curves of a group: loss twice (logarithmic, linear), validation once, seeds together."""

from __future__ import annotations

import reading

from qsr.report.page_curves import MOST, training


def test_a_group_has_its_charts_and_one_legend(board_data, read):
    tree = reading.read(training(read(board_data)))
    (figure,) = tree.all("figure", data_group="w2a2")
    titles = [svg["aria-label"] for svg in figure.all("svg", class_="chart")]
    assert titles == ["Loss of w2a2, logarithmic loss", "Loss of w2a2, linear loss", "Validation PSNR of w2a2"]
    assert [item.text for item in figure.all("li")] == ["QuantSR-C", "LSQ+", "LSQ", "DoReFa", "PAMS"]
    assert [button.text for button in tree.all("button")] == ["logarithmic loss", "linear loss"]


def test_seeds_are_lines_of_one_series_and_lines_are_short(board_data, read):
    board_data["rows"] = board_data["rows"][:1]
    tree = reading.read(training(read(board_data)))
    lines = tree.all("svg", class_="chart")[0].all("polyline")
    assert [line["class"] for line in lines] == ["curve s0", "curve s0 other"]
    assert all(len(line["points"].split()) <= MOST for line in lines)


def test_validation_alone_and_nothing_at_all(board_data, read):
    for row in board_data["rows"]:
        for seed in row["seeds"]:
            seed["curve"] = []
    tree = reading.read(training(read(board_data)))
    assert {svg["aria-label"].split()[0] for svg in tree.all("svg", class_="chart")} == {"Validation"}
    for row in board_data["rows"]:
        row["seeds"] = []
    assert training(read(board_data)) is None
