"""Quality over cost; time only where it was measured."""

from __future__ import annotations

import reading

from qsr.report.page_cost import cost


def titles(board):
    return [svg["aria-label"] for svg in reading.read(cost(board)).all("svg", class_="chart")]


def test_one_chart_per_cost_and_set(board_data, read):
    assert titles(read(board_data))[:2] == ["PSNR on Set5 against parameters", "PSNR on Set5 against operations"]
    assert len(titles(read(board_data))) == 6


def test_time_where_it_was_measured(board_data, read):
    board_data["rows"][1]["milliseconds"] = 12.5
    assert "PSNR on Set5 against time" in titles(read(board_data))


def test_points_carry_their_group_and_numbers(board_data, read):
    tree = reading.read(cost(read(board_data)))
    points = tree.all("svg", class_="chart")[0].all("g", data_group="w4a4")
    assert points[0].all("title")[0].text == "QuantSR-C 4/4: 36.71 dB, 48.8"
    assert len(points) == 6


def test_nothing_to_show(board_data, read):
    for row in board_data["rows"]:
        row.update(params_k=None, ops_g=0)
    assert cost(read(board_data)) is None
