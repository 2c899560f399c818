"""The tables for people: who leads, by how much, and what may not be called a lead."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from board_drill import plan, store

from qsr.leaderboard.collect import collect
from qsr.leaderboard.run import Session
from qsr.leaderboard.tables import csv_text, lines, markdown, reasons, terminal


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory, data: Path) -> dict[str, Any]:
    rows = [
        *(
            {"row": name, "group": "w2a2", "set": {"quant": {"method": "rlq", "w_bits": 2, "a_bits": 2, "k": k}}}
            for name, k in (("lead", 1.0), ("near", 1.5), ("far", 2.5))
        ),
        {"row": "broken", "group": "w2a2", "label": "a | b", "set": {"quant": {"method": "lsq", "w_bits": 2, "a_bits": 2}}},
        {"row": "fp", "group": "fp", "length": "start"},
    ]
    session = Session(plan(tmp_path_factory.mktemp("board"), data, rows=rows, groups={}, sets=["Set5", "Held"]))
    tasks = session.plan.by_name
    for name, psnr in (("lead", (36.0, 36.2)), ("near", (35.9, 36.1)), ("far", (34.0, 34.1))):
        for seed, value in enumerate(psnr):
            store(session, tasks[f"{name}_s{seed}"], value, planes=2 if name == "far" else 1)
    store(session, tasks["broken_s0"], why="out of memory")
    return collect(session)


def test_a_group_is_sorted_and_distances_inside_the_spread_are_marked(board: dict[str, Any]) -> None:
    body = lines(board)["w2a2"]
    assert [line[0].split("`")[1] for line in body] == ["lead", "near", "far", "broken"]
    assert [line[4] for line in body] == ["first", "≈ -0.10", "-2.05", ""]
    assert body[0][1:4] == ["2/2", "36.10 ±0.10 / 0.9000", "36.10 ±0.10 / 0.9000"]
    assert body[0][5:] == ["37.57", "1.5", "0.25", "0.5"]
    assert body[2][1] == "2/2 x2"
    assert body[3][2] == "failed"


def test_with_one_seed_no_distance_is_more_than_a_question(board: dict[str, Any]) -> None:
    rows = [{**row, "seeds": row["seeds"][:1]} for row in board["rows"]]
    assert [line[4] for line in lines({**board, "rows": rows})["w2a2"]] == ["first", "? -0.10", "? -2.05", ""]


def test_markdown_is_a_whole_page(board: dict[str, Any]) -> None:
    text = markdown(board)
    assert text.startswith("# Leaderboard tiny\n")
    assert "4 iterations after 6 in full precision" in text
    assert "| Bicubic | - |" in text
    assert "## w2a2" in text
    assert "a \\| b (`broken`)" in text
    assert "- broken, seed 0: failed: out of memory" in text
    assert "| SRResNet (`fp`) | 32 | missing |" in text
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in tables} <= {4, 10}


def test_csv_has_every_seed_and_set(board: dict[str, Any]) -> None:
    rows = list(csv.DictReader(io.StringIO(csv_text(board))))
    assert len(rows) == 5 * 2 * 2
    first = rows[0]
    assert (first["row"], first["seed"], first["dataset"], first["psnr_y"]) == ("lead", "0", "Set5", "36.0")
    assert (first["published_as"], first["published_psnr"]) == ("QuantSR-C", "37.57")
    failed = next(row for row in rows if row["row"] == "broken")
    assert (failed["status"], failed["why"], failed["psnr_y"]) == ("failed", "out of memory", "")


def test_the_terminal_shows_the_same(board: dict[str, Any]) -> None:
    from rich.console import Console

    console = Console(width=160, file=io.StringIO(), record=True)
    console.print(terminal(board))
    text = console.export_text()
    assert "≈ -0.10" in text
    assert reasons(board) == ["broken, seed 0: failed: out of memory"]
