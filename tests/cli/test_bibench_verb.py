"""`qsr bibench`: what is said before anything is done, and how wrong words are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qsr.cli.bibench_verb import _tracks
from qsr.cli.main import app
from qsr.errors import OptionsError, QsrError
from tests.bibench.bench_drill import write_bench
from tests.leaderboard.board_drill import write_data


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("sets"))


def invoke(folder: Path, data: Path, *words: str) -> tuple[int, str]:
    file = write_bench(folder)
    arguments = ["bibench", "-opt", str(file), "-o", str(folder / "out"), "--data-root", str(data), *words]
    found = CliRunner().invoke(app, arguments, catch_exceptions=True)
    if isinstance(found.exception, QsrError):
        return found.exception.exit_code, str(found.exception)
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found.exit_code, found.output


def test_a_dry_run_lists_trainings_and_cells_with_their_commands(data: Path, tmp_path: Path) -> None:
    code, said = invoke(tmp_path, data, "--dry-run", "--only", "bnn_cnn")
    assert code == 0
    lines = said.splitlines()
    assert any(line.startswith("missing  x2/bnn_cnn_s0: qsr train -opt ") for line in lines)
    assert any(line.startswith("missing  grid/bnn_cnn.0.001-cosine_s0: qsr train") for line in lines)
    assert any(line.startswith("missing  robust/bicubic_x2: qsr bibench") for line in lines)
    assert any(line.startswith("waiting  infer/bnn_cnn_x2_s0: qsr bibench") for line in lines)
    assert not any("xnor" in line.partition(":")[0] for line in lines)
    assert not (tmp_path / "out" / "cells").exists()


def test_one_cell_then_the_tables_of_what_is_there(data: Path, tmp_path: Path) -> None:
    code, said = invoke(tmp_path, data, "--track", "robust,comp", "--cell", "robust/bicubic_x2")
    assert code == 0, said
    assert "robust/bicubic_x2: done" in said
    found = json.loads((tmp_path / "out" / "bibench.json").read_text())
    assert list(found["cells"]) == ["robust/bicubic_x2"]
    assert found["operators"][0]["metrics"]["psnr"]["comp"]["value"] > 1
    assert found["operators"][0]["metrics"]["psnr"]["task"]["value"] is None
    code, said = invoke(tmp_path, data, "--collect-only")
    assert code == 0
    assert "n/a" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--track", "robst"), "did you mean robust?"),
        (("--only", "nobody"), "no such network"),
        (("--shard", "2"), "--shard"),
        (("--cell", "robust/nobody"), "no such cell"),
    ],
)
def test_wrong_words(words: tuple[str, ...], said: str, data: Path, tmp_path: Path) -> None:
    code, told = invoke(tmp_path, data, *words)
    assert code == 2
    assert said in told


def test_tracks_keep_their_order() -> None:
    assert _tracks("infer, task") == ("task", "infer")
    assert _tracks(None) == ("task", "arch", "robust", "comp", "train", "infer")
    with pytest.raises(OptionsError):
        _tracks("speed")
