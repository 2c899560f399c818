"""The page of quality against time: rows, the line that nothing beats, and files that are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qsr.cli.main import app
from qsr.errors import DataError, FormatError
from qsr.report.frontier import frontier_page, is_frontier, markdown, points, read_frontier, write_frontier
from qsr.report.svg_scatter import pareto

ROWS = [
    {"model": "low", "scale": 2, "engine": "qsr", "bits": "w2a2", "ms": 10.0, "bytes": 250_000, "psnr": {"Set5": 36.5}},
    {"model": "full", "scale": 2, "engine": "qsr", "bits": "fp", "ms": 30.0, "bytes": 800_000, "psnr": {"Set5": 37.0}},
    {"model": "full", "scale": 2, "engine": "peer 1.2 int8", "bits": "int8", "ms": 20.0, "psnr": {"Set5": 36.4},
     "estimated": True},
    {"model": "<b>", "scale": 4, "engine": "qsr", "bits": "w1a1", "ms": 5.0, "psnr": {"Set5": 30.0, "B100": 27.0}},
]  # fmt: skip


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "frontier.json"
    path.write_text(json.dumps({"format": "qsr.frontier/1", "about": {"cpu": "Make 7", "threads": 2}, "rows": ROWS}))
    return path


def test_the_line_leaves_out_what_is_slower_and_worse(source: Path):
    rows = [row for row in read_frontier(source).rows if row.scale == 2]
    assert [point.words for point in pareto(points(rows, "Set5"))] == ["low", "full"]


def test_the_page_holds_every_row_once_and_escapes_names(source: Path):
    page = frontier_page(read_frontier(source))
    assert "Make 7" in page
    assert page.count("<td>peer 1.2 int8</td>") == 1
    assert "36.40*" in page
    assert "<td>&lt;b&gt;</td>" in page
    assert "<td><b></td>" not in page
    assert 'id="x2"' in page
    assert 'id="x4"' in page


def test_markdown_marks_what_is_on_the_line(source: Path):
    lines = markdown(read_frontier(source)).splitlines()
    assert "| low | qsr | w2a2 | 10.0 | 250 | **36.50** |" in lines
    assert "| full | peer 1.2 int8 | int8 | 20.0 |  | 36.40* |" in lines


def test_the_verb_tells_a_frontier_from_a_leaderboard(source: Path, tmp_path: Path):
    result = CliRunner().invoke(app, ["report", str(source)])
    assert result.exit_code == 0, result.output
    assert "Quality against time" in (tmp_path / "frontier.html").read_text()
    assert not is_frontier(tmp_path)
    assert not is_frontier(tmp_path / "frontier.html")


@pytest.mark.parametrize(
    ("change", "words"),
    [({"ms": 0}, "ms: found 0"), ({"ms": "1"}, "ms: found '1'"), ({"psnr": None}, "psnr"), ({"engine": 3}, "engine: found 3")],
)
def test_a_row_that_is_none_is_named(source: Path, change: dict, words: str):
    data = json.loads(source.read_text())
    data["rows"][1] |= change
    source.write_text(json.dumps(data))
    with pytest.raises(FormatError, match=rf"rows\[1\].*{words}"):
        write_frontier(source)


def test_files_that_are_not_there_or_not_json(tmp_path: Path):
    with pytest.raises(DataError):
        read_frontier(tmp_path / "no.json")
    (tmp_path / "no.json").write_text("{")
    with pytest.raises(FormatError, match="JSON"):
        read_frontier(tmp_path / "no.json")
