from __future__ import annotations

import json
import math

import pytest

from qsr.errors import EnvironmentFault
from qsr.evaluate.benchmark import SetResult, results_json
from qsr.evaluate.protocol import default
from qsr.report.results import render, write_results


@pytest.fixture
def results():
    images = [{"name": "a", "psnr_y": 30.0, "ssim_y": 0.9}, {"name": "b", "psnr_y": math.inf, "ssim_y": 1.0}]
    return results_json([SetResult.of("Set5", 2, images)], [default(2)], {"label": "x"})


def test_three_files_and_the_copies_that_were_asked_for(results, tmp_path):
    written = write_results(results, tmp_path / "r", {"json": tmp_path / "copy.json", "csv": None})
    assert [path.name for path in written] == ["metrics.json", "metrics.csv", "table.md", "copy.json"]
    assert (
        json.loads((tmp_path / "copy.json").read_text()) == json.loads((tmp_path / "r" / "metrics.json").read_text()) == results
    )
    assert (tmp_path / "r" / "table.md").read_text() == render(results, "md")


def test_the_json_is_strict(results):
    def refuse(word):
        raise AssertionError(word)

    json.loads(render(results, "json"), parse_constant=refuse)


def test_a_folder_that_cannot_be_is_one_error(results, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault):
        write_results(results, tmp_path / "file")
