"""bibench.json: what is there, what is not, and the files beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from qsr.bibench import collect
from qsr.bibench.rows import Network
from qsr.bibench.run import Run
from qsr.report.bibench import write_bench
from tests.bibench.bench_drill import PSNR, metric, running, store


def test_a_network_that_is_missing_is_said_and_not_guessed(data: Path, tmp_path: Path) -> None:
    run, _ = running(tmp_path, data)
    for operator in ("fp", "bnn"):
        store(run, Network(operator, "cnn", 2, 0), PSNR[operator])
    found = collect.collect(run)
    task = metric(found, "bnn", "task")
    assert task["value"] == pytest.approx(33 / 36)
    assert (task["measured"], task["wanted"]) == (2, 4)
    assert metric(found, "xnor", "task")["value"] is None


def test_the_files_that_are_written(run: Run) -> None:
    run.failed["infer/bnn_cnn_x2_s0"] = "no compiler"
    collect.write(run)
    out = run.work.out
    assert {file.name for file in out.glob("bibench.*")} == {"bibench.json", "bibench.csv", "bibench.md"}
    assert (out / "x2" / "leaderboard.json").is_file()
    text = (out / "bibench.md").read_text()
    assert "| BNN | 0.918 | 0.918 |" in text
    assert "| part | 35.00 | 35.00 |" in text
    assert "infer/bnn_cnn_x2_s0: failed: no compiler" in text
    assert "BiBench's own numbers" not in text


def test_its_own_page_can_be_made_of_it(run: Run) -> None:
    collect.write(run)
    page = write_bench(run.work.out).read_text()
    assert "<td>0.918</td>" in page
    assert "name=bnn_cnn_s0" in page
