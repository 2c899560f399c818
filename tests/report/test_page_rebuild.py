"""Every row has its seeds, the identity of what made them, and the commands."""

from __future__ import annotations

import reading

from qsr.report.page_rebuild import rebuild


def test_an_entry_per_row_with_commands_of_every_seed(board_data, read):
    tree = reading.read(rebuild(read(board_data)))
    entries = tree.all("details")
    assert [entry["id"] for entry in entries] == [f"r{i}" for i in range(len(board_data["rows"]))]
    commands = [code.text for code in entries[1].all("div", class_="command")]
    assert commands == [
        f"{seed[key]}copy" for seed in board_data["rows"][1]["seeds"] for key in ("train_command", "test_command")
    ]
    assert "0123456789ab" in entries[1].text
    assert "QuantSR-C" in entries[1].all("summary")[0].text


def test_seeds_show_what_they_reached(board_data, read):
    board_data["rows"][1]["seeds"][1].update(status="failed", why="disk full", scores={}, seconds=None, average_bits=3.25)
    entry = reading.read(rebuild(read(board_data))).all("details")[1]
    first, second = entry.all("tbody")[0].all("tr")
    assert first.all("td")[0].text == "36.690.9604"
    assert [cell.text for cell in second.all("td")][:5] == ["n/a", "n/a", "n/a", "1500", "n/a"]
    assert "disk full" in entry.text
    assert "measured average bits: 3.25" in entry.text


def test_a_row_that_failed_says_why_and_an_empty_board_has_no_section(board_data, read):
    assert "loss became NaN" in reading.read(rebuild(read(board_data))).all("details")[-1].text
    assert rebuild(read({**board_data, "rows": []})) is None
