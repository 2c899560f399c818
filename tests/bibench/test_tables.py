"""A benchmark as CSV, Markdown and for the terminal."""

from __future__ import annotations

import csv
import io
from typing import Any

from rich.console import Console

from qsr.bibench.tables import csv_text, markdown, terminal
from tests.report.example_bench import example


def rows() -> list[dict[str, str]]:
    bench = example()
    seconds = {"seconds_per_1000": {"binary": 90.0}, "ratio": 0.5}
    packed: dict[str, Any] = {"milliseconds": {"binary": 4.0}, "ratio": 2.0, "portable": {"ratio": 3.0}}
    packed |= {"bytes": {"binary": 100}, "bytes_ratio": 7.0, "commands": []}
    for title, values in (("train/bnn_cnn_x2_s0", seconds), ("infer/bnn_cnn_x2_s0", packed)):
        bench["cells"][title] = {"made": "", "seconds": 1.0, "machine": {}, "command": f"do {title}", "values": values}
    return list(csv.DictReader(io.StringIO(csv_text(bench))))


def found(**wanted: str) -> list[dict[str, str]]:
    return [row for row in rows() if all(row[key] == value for key, value in wanted.items())]


def test_every_value_is_a_line_with_its_command() -> None:
    assert found(track="task", operator="bnn", what="OM, psnr")[0]["value"] == "0.97"
    assert found(track="task", operator="odd", what="OM, psnr")[0]["value"] == ""
    score = found(track="task", operator="bnn", what="PSNR_Y Set5")[0]
    assert (score["value"], score["family"], score["scale"], score["command"]) == ("36.0", "cnn", "2", "qsr train bnn")
    assert found(track="comp", operator="bnn", what="r_s")[0]["value"] == "4.0"
    assert found(track="train", what="PSNR_Y, 0.001-cosine")[0]["command"] == "qsr train grid"


def test_cells_give_a_line_per_value() -> None:
    assert found(track="robust", operator="bnn_cnn_x2_s0", what="PSNR_Y clean")[0]["value"] == "36.0"
    assert found(track="robust", operator="bnn_cnn_x2_s0", what="PSNR_Y brightness 5")[0]["value"] == "22.0"
    assert found(track="train", operator="bnn_cnn_x2_s0", what="twin's seconds over it")[0]["value"] == "0.5"
    timed = {row["what"]: row["value"] for row in found(track="infer", operator="bnn_cnn_x2_s0")}
    assert timed == {
        "ms": "4.0",
        "twin's ms over it": "2.0",
        "twin's ms over it, portable": "3.0",
        "bytes": "100",
        "twin's bytes over it": "7.0",
    }
    assert {row["command"] for row in found(operator="bnn_cnn_x2_s0", track="infer")} == {"do infer/bnn_cnn_x2_s0"}


def test_markdown_has_both_readings_scores_the_ablation_and_what_is_published() -> None:
    text = markdown({**example(), "failed": {"infer/x": "no compiler"}})
    assert "| BNN | 0.970 ±0.005 | 0.970 | 3.000 | 2.500* |" in text
    assert "| BNN | 0.485 | n/a |" in text
    assert "| full precision | 37.00 |" in text
    assert "| no <shift> | 35.50 |" in text
    assert "| BNN | 0.4 |" in text
    assert "- infer/x: failed: no compiler" in text
    assert "1.5 hours of training, 0.2 of measuring" in text


def test_the_terminal_shows_both_readings() -> None:
    console = Console(width=140, record=True, file=io.StringIO())
    for drawn in terminal(example()):
        console.print(drawn)
    said = console.export_text()
    assert "ratio of the gain" in said
    assert "0.970 ±0.005" in said
