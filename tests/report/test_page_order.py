"""Correlation by group and set, with its caveat, and charts where there are enough rows."""

from __future__ import annotations

import reading

from qsr.report.page_order import CAVEAT, order


def test_correlations_and_charts(board_data, read):
    tree = reading.read(order(read(board_data)))
    rows = {row.all("th")[0].text: [cell.text for cell in row.all("td")] for row in tree.all("tbody")[0].all("tr")}
    assert rows["w2a2"] == ["1.003 rows"] * 3
    assert rows["w4a4"][0] == "0.804 rows"  # PAMS and CADyQ have changed places
    assert CAVEAT in tree.text
    assert [figure["data-group"] for figure in tree.all("figure")] == ["w4a4", "w2a2", "w1a1"] * 3
    assert "our order beside the published order" in tree.all("svg")[0]["aria-label"]


def test_two_rows_are_no_order(board_data, read):
    board_data["rows"] = [row for row in board_data["rows"] if row["group"] == "w4a4"][:2]
    assert order(read(board_data)) is None
