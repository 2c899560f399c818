"""The facts at the top and the answer below them."""

from __future__ import annotations

import reading

from qsr.report.page_head import footer, header, winners


def test_the_header_says_what_how_where_and_when(board_data, read):
    text = reading.read(header(read(board_data))).text
    for words in (
        "small_x2",
        "×2",
        "iterations 1500",
        "sr-y-crop2-uint8",
        "Set5, Set14, B100",
        "4.2 hours",
        "avx2",
        "torch 2.13",
    ):
        assert words in text
    assert "18 done, 1 failed; 36 trainings" in text
    assert "2026-11-24 01:02" in text


def test_what_is_unknown_is_left_out(board_data, read):
    board_data.update(hours=None, machine=None)
    text = reading.read(header(read(board_data))).text
    assert "training time" not in text
    assert "machine" not in text


def verdicts(board):
    tree = reading.read(winners(board))
    return {row.all("th")[0].text: [cell.text for cell in row.all("td")] for row in tree.all("tbody")[0].all("tr")}


def test_a_win_a_tie_and_one_seed(board_data, read):
    for row in board_data["rows"]:
        spread = {"w4a4": 0.03, "w2a2": 1.0, "w1a1": None}.get(row["group"])
        for score in row["mean"].values():
            score["psnr_spread"] = spread
    found = verdicts(read(board_data))
    assert list(found) == ["w4a4", "w2a2", "w1a1"]  # fp has one row only
    assert "QuantSR-C 36.71 dB wins +0.06 dB over LSQ+ (spread 0.03)" in found["w4a4"][0]
    assert "level with" in found["w2a2"][0]
    assert "wins" not in found["w2a2"][0]
    assert found["w1a1"][0].endswith("+0.29 dB, level with ReActNet (one seed)")


def test_without_results_there_is_no_answer(board_data, read):
    for row in board_data["rows"]:
        row["mean"] = {}
    assert winners(read(board_data)) is None


def test_the_footer_says_what_n_a_is(board_data, read):
    assert "n/a: not measured" in reading.read(footer(read(board_data))).text
