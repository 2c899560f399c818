from __future__ import annotations

import csv
import io
import math

import pytest
from rich.console import Console

from qsr.evaluate.benchmark import SetResult, results_json
from qsr.evaluate.protocol import default
from qsr.evaluate.reference import NOTE_RLQ, NOTE_SET14
from qsr.report.tables import csv_text, footer, markdown, result_table, small_table, terminal

ABOUT = {
    "label": "QuantSR-C w4a4",
    "method": "QuantSR-C",
    "w_bits": 4,
    "a_bits": 4,
    "published_blocks": None,
    "notes": ["ours is smaller"],
    "model": "net.safetensors",
}


def result(dataset, psnr=37.5, scale=2):
    return SetResult.of(dataset, scale, [{"name": "a", "psnr_y": psnr, "ssim_y": 0.95}])


def results(*names, about=ABOUT):
    return results_json([result(name) for name in names], [default(2)], about)


def shown(renderable) -> str:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(renderable)
    return console.export_text()


def test_ours_stands_beside_the_published_row():
    table = result_table(results("Set5", "Set14", "mine"))
    assert table.lines[0].cells == ("Set5", "x2", "1", "37.50", "0.9500", "37.80 / 0.9597", "-0.30")
    assert table.lines[2].cells[-2:] == ("-", "-")


def test_footnotes_are_numbered_once_and_in_order():
    table = result_table(results("Set5", "Set14", "mine"))
    assert table.footnotes == (NOTE_RLQ, "ours is smaller", NOTE_SET14)
    assert [line.notes for line in table.lines] == [(1, 2), (1, 3, 2), ()]
    assert footer(table)[2] == f"[3] {NOTE_SET14}"


def test_our_own_notes_are_silent_without_a_published_row():
    assert result_table(results("mine")).footnotes == ()


def test_the_protocol_ends_every_table():
    assert footer(result_table(results("mine")))[-1].startswith("protocol sr-y-crop2-uint8: uint8 pictures, Y of")
    both = results_json([result("Set5"), result("Set5", scale=3)], [default(2), default(3)], {})
    line = footer(result_table(both))[-1]
    assert line.startswith("protocol sr-y-crop{scale}-uint8: ")
    assert "scale px cut off" in line


def test_markdown_holds_table_notes_protocol_and_origin():
    text = markdown(results("Set5", "mine"))
    lines = text.splitlines()
    assert lines[0] == "# QuantSR-C w4a4"
    assert "| Set5 | x2 | 1 | 37.50 | 0.9500 | 37.80 / 0.9597 [1][2] | -0.30 |" in lines
    assert "| mine | x2 | 1 | 37.50 | 0.9500 | - | - |" in lines
    assert {line.count("|") for line in lines if line.startswith("|")} == {8}
    assert "model net.safetensors" in lines[-1]


def test_csv_has_every_picture_and_the_mean_in_full_precision():
    rows = list(csv.DictReader(io.StringIO(csv_text(results("Set5")))))
    assert [row["image"] for row in rows] == ["a", "mean"]
    assert {row["protocol"] for row in rows} == {"sr-y-crop2-uint8"}
    assert float(rows[1]["psnr_y"]) == 37.5


def test_the_terminal_shows_brackets_as_they_are():
    text = shown(terminal(results("Set5")))
    assert "37.80 / 0.9597[1][2]" in text
    assert "QuantSR-C w4a4" in text


def test_a_set_of_perfect_pictures_shows_a_dash_and_says_why():
    table = result_table(results_json([result("Set5", psnr=math.inf)], [default(2)], ABOUT))
    assert table.lines[0].cells[3:] == ("-", "-", "37.80 / 0.9597", "-")
    assert any("infinite PSNR" in note for note in table.footnotes)


@pytest.mark.parametrize(("psnr", "expected"), [(33.0, "+1.00"), (31.996, "+0.00"), (31.5, "-0.50")])
def test_small_table_gives_the_gain_over_its_first_row(psnr, expected):
    text = shown(small_table({"bicubic": result("photos", 32.0), "ours": result("photos", psnr)}))
    ours = next(line for line in text.splitlines() if "ours" in line)
    assert ours.split()[-1] == expected
    assert next(line for line in text.splitlines() if "bicubic" in line).split()[-1] == "-"
