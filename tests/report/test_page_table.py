"""The main table: every number where it belongs, what is missing says n/a, columns know how to sort."""

from __future__ import annotations

import pytest
import reading

from qsr.report.page_table import table


def lines(board):
    tree = reading.read(table(board))
    (grid,) = tree.all("table", id="board")
    return {f"{row.all('th')[0]['data-v']} {row['data-group']}": row for row in grid.all("tbody")[0].all("tr")}


def cells(row):
    return [cell.text for cell in row.all("td")]


def test_ours_the_papers_and_the_difference(board_data, read):
    row = lines(read(board_data))["QuantSR-C w4a4"]
    assert cells(row)[:4] == ["4/4", "★36.71±0.010.9604", "37.8020.9597", "\u22121.09"]
    assert [cell["data-v"] for cell in row.all("td")][1:3] == [str(board_data["rows"][1]["mean"]["Set5"]["psnr_y"]), "37.8"]
    assert cells(row)[-4:] == ["48.8", "7.70", "2/2", ""]


def test_a_number_links_to_how_it_was_made(board_data, read):
    row = lines(read(board_data))["QuantSR-C w4a4"]
    links = row.all("a", data_rebuild="r1")
    assert [(link["href"], link["data-set"]) for link in links] == [("#r1", name) for name in ("Set5", "Set14", "B100")]


def test_what_is_missing_is_n_a_and_a_failed_row_says_why(board_data, read):
    row = lines(read(board_data))["CADyQ w2a2"]
    assert "failed" in row.all("th")[0].text
    assert "loss became NaN at iteration 312" in row.all("th")[0].text
    assert cells(row)[1] == "n/a"
    assert cells(row)[3] == "n/a"
    assert cells(row)[2].startswith("19.44")
    assert row.all("td")[1]["data-v"] is None  # sorts last
    assert cells(lines(read(board_data))["LSQ w4a4"])[2:4] == ["n/a", "n/a"]


def test_every_row_has_every_column(board_data, read):
    for milliseconds in (None, 12.5):
        board_data["rows"][0]["milliseconds"] = milliseconds
        board = read(board_data)
        heads = reading.read(table(board)).all("thead")[0].all("th", scope="col")
        widths = {sum(len(row.all(name)) for name in ("td", "th")) for row in lines(board).values()}
        assert widths == {len(heads)}


def test_bicubic_stands_below_without_a_group(board_data, read):
    row = lines(read(board_data))["Bicubic None"]
    assert "33.670.9302" in cells(row)


def test_heads_are_buttons_of_columns_that_say_how_they_are_sorted(board_data, read):
    heads = reading.read(table(read(board_data))).all("thead")[0].all("th", scope="col")
    assert {head["aria-sort"] for head in heads} == {"none"}
    assert all(len(head.all("button")) == 1 for head in heads)


def test_notes_are_numbered_once_and_linked(board_data, read):
    tree = reading.read(table(read(board_data)))
    notes = tree.all("ol")[0].all("li")
    assert len({note.text for note in notes}) == len(notes) > 2
    for mark in tree.all("sup"):
        for link in mark.all("a"):
            assert tree.all("li", id=link["href"][1:])[0] is notes[int(link.text) - 1]


@pytest.mark.parametrize("empty", ["rows", "bicubic"])
def test_an_empty_board_is_a_table_all_the_same(board_data, read, empty):
    board_data[empty] = type(board_data[empty])()
    assert reading.read(table(read(board_data))).all("table", id="board")
