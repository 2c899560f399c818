"""The page of a benchmark: every number once, nothing invented, names escaped, foreign files refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from qsr.cli.main import app
from qsr.errors import DataError, FormatError
from qsr.report.bibench import bench_page, is_bench, write_bench
from qsr.report.bibench_tables import FILE
from tests.report.example_bench import example, write_pictures


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    bench = example()
    (tmp_path / FILE).write_text(json.dumps(bench))
    write_pictures(tmp_path, bench)
    return tmp_path


def test_the_page_has_the_metrics_in_both_readings_and_says_what_is_missing(folder: Path) -> None:
    page = write_bench(folder).read_text()
    assert "<td>0.970 ±0.005</td>" in page
    assert "<td>0.485</td>" in page
    assert "<td>2.500*</td>" in page
    assert page.count("<td>n/a</td>") >= 4
    assert "ratio of the gain above bicubic" in page
    assert "Make 7, 2 cores" in page
    assert "1.5 of training, 0.2 of measuring" in page


def test_names_are_escaped(folder: Path) -> None:
    page = write_bench(folder).read_text()
    assert "&lt;b&gt;odd&lt;/b&gt;" in page
    assert "<b>odd</b>" not in page
    assert "no &lt;shift&gt;" in page


def test_every_cell_and_training_has_its_command(folder: Path) -> None:
    page = write_bench(folder).read_text()
    for command in (
        "qsr train bnn",
        "qsr test rows/bnn_cnn_s0",
        "qsr train grid",
        "--cell infer/bnn_cnn_x2_s0",
        "qsr bench bnn.qsr",
    ):
        assert command in page
    assert "not trained" in page


def test_curves_bars_and_lines_are_drawn_of_what_there_is(folder: Path) -> None:
    page = write_bench(folder).read_text()
    assert 'aria-label="PSNR under gaussian noise"' in page
    assert "severity" in page
    assert "BNN: 0.970" in page
    assert page.count('data-series="bnn"') >= 3
    assert 'data-series="odd"' in page
    assert "35.50" in page.split("The rule")[-1], "the ablation"
    assert "From the paper" in page


def test_pictures_are_patches_beside_their_input(folder: Path) -> None:
    page = write_bench(folder).read_text()
    assert page.count("data:image/png;base64,") == 3 * 4  # three kinds; input, bicubic, twin, one operator
    (folder / "pictures" / "bnn_cnn_x2_s0_clean.png").unlink()
    assert write_bench(folder).read_text().count("data:image/png;base64,") == 3 * 4 - 1
    (folder / "pictures" / "bnn_cnn_x2_s0_brightness.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="brightness"):
        write_bench(folder)


def test_a_picture_from_elsewhere_is_refused(folder: Path) -> None:
    bench = example()
    bench["cells"]["robust/bnn_cnn_x2_s0"]["values"]["pictures"]["Set5/bird"]["clean"] = "../secret.png"
    (folder / FILE).write_text(json.dumps(bench))
    with pytest.raises(FormatError, match="does not lie beside"):
        write_bench(folder)


def test_nothing_measured_is_a_page_too(folder: Path) -> None:
    bench = example()
    bench |= {"cells": {}, "grid": [], "operators": bench["operators"][1:2], "networks": []}
    page = bench_page(bench, folder)
    assert "Corruption" not in page
    assert "Pictures" not in page
    assert "The rule" not in page
    assert "Published" not in page


@pytest.mark.parametrize(
    "change",
    [
        {"operators": None},
        {"families": []},
        {"budget": {}},
        {"cells": {"robust/bicubic_x2": {"values": {}}}},
        {"networks": [{}]},
    ],
)
def test_what_is_no_benchmark_is_said(change: dict[str, Any], folder: Path) -> None:
    (folder / FILE).write_text(json.dumps(example() | change))
    with pytest.raises(FormatError, match="not a benchmark"):
        write_bench(folder)


def test_files_that_are_none(tmp_path: Path) -> None:
    assert not is_bench(tmp_path)
    with pytest.raises(DataError, match="qsr bibench writes it"):
        write_bench(tmp_path)
    for text in ("{", '{"format": 1}', "[]", '{"format": "qsr.bibench/1", "name": NaN}'):
        (tmp_path / FILE).write_text(text)
        with pytest.raises(FormatError):
            write_bench(tmp_path)


def test_the_verb_knows_a_benchmark_by_its_file_and_its_folder(folder: Path) -> None:
    for source in (folder, folder / FILE):
        target = folder / "own.html"
        result = CliRunner().invoke(app, ["report", str(source), "-o", str(target)])
        assert result.exit_code == 0, result.output
        assert "qsr bibench" in target.read_text()
        target.unlink()
