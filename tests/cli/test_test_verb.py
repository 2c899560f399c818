"""`qsr test` as typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from qsr.archs.build import build
from qsr.archs.modelfile import ModelInfo, save_model
from qsr.cli.test_verb import command
from qsr.data.image import write_png
from qsr.data.resize import bicubic_upscale
from qsr.errors import DataError, OptionsError
from qsr.options import from_dict

app = typer.Typer()
app.command()(command)


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """An empty working directory with datasets/Set5 of two made-up pictures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("QSR_DATA", raising=False)
    rng = np.random.default_rng(0)
    for i in range(2):
        smooth = rng.integers(0, 256, (9, 10, 3)).astype(np.uint8)
        write_png(tmp_path / "datasets" / "Set5" / f"p{i}.png", bicubic_upscale(smooth, 4))
    return tmp_path


def run(*arguments: str):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def experiment(place):
    options = from_dict({"name": "tiny", "scale": 2, "network_g": {"type": "SRResNet", "num_feat": 4, "num_block": 2}})
    save_model(
        place / "experiments" / "tiny" / "models" / "net_g_latest.safetensors", build(options), ModelInfo(options.to_json())
    )
    return place / "experiments" / "tiny"


def test_bicubic_prints_table_protocol_and_what_was_skipped(place):
    result = run(
        "--bicubic", "--scale", "2", "--sets", "Set5,Urban100", "--json", "out.json", "--md", "out.md", "--csv", "out.csv"
    )
    assert result.exit_code == 0
    assert "skipped Urban100: not found below datasets" in result.output
    assert "33.66 / 0.9299" in result.output
    assert "protocol sr-y-crop2-uint8" in result.output
    data = json.loads((place / "out.json").read_text())
    assert [(row["dataset"], row["scale"]) for row in data["rows"]] == [("Set5", 2)]
    stored = place / "results" / "bicubic_x2"
    assert json.loads((stored / "metrics.json").read_text()) == data
    assert (stored / "table.md").read_text() == (place / "out.md").read_text()
    assert (stored / "metrics.csv").read_text() == (place / "out.csv").read_text()


def test_bicubic_does_all_scales_by_default(place):
    run("--bicubic", "--sets", "Set5", "--name", "mine")
    rows = json.loads((place / "results" / "mine" / "metrics.json").read_text())["rows"]
    assert [row["scale"] for row in rows] == [2, 3, 4]


def test_an_experiment_and_its_file_give_the_same_rows(place, experiment):
    for name, arguments in (("a", [experiment]), ("b", ["--model", experiment / "models" / "net_g_latest.safetensors"])):
        run(*arguments, "--sets", "Set5", "--name", name, "--device", "cpu", "--tile", "9")
    a, b = (json.loads((place / "results" / name / "metrics.json").read_text()) for name in "ab")
    assert a["rows"] == b["rows"]
    assert (a["tile"], a["tiles_used"], a["method"]) == (9, [9], "SRResNet")


def test_an_option_file_with_its_own_sets(place, experiment):
    (place / "test.yml").write_text(
        "name: mine\nmodel_type: SRModel\nscale: 2\nnum_gpu: 1\nmanual_seed: 0\n"
        "datasets:\n  test_1:\n    name: own\n    type: PairedImageDataset\n    dataroot_gt: datasets/Set5\n"
        "    io_backend:\n      type: disk\n"
        "network_g:\n  type: EDSR\n  num_in_ch: 3\n  num_out_ch: 3\n  num_feat: 4\n  num_block: 2\n  upscale: 2\n"
        "path:\n  pretrain_network_g: experiments/tiny\n  strict_load_g: true\n"
    )
    result = run("-opt", "test.yml", "--device", "cpu")
    assert result.exit_code == 0
    assert [row["dataset"] for row in json.loads((place / "results" / "mine" / "metrics.json").read_text())["rows"]] == ["own"]


def test_save_images(place):
    run("--bicubic", "--scale", "4", "--sets", "Set5", "--save-images")
    pictures = (place / "results" / "bicubic_x4" / "visualization" / "Set5").iterdir()
    assert sorted(path.name for path in pictures) == ["p0_x4.png", "p1_x4.png"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "exactly one of"),
        (["--bicubic", "experiments/tiny"], "exactly one of"),
        (["--bicubic", "--best"], "--best needs"),
        (["--bicubic", "--scale", "two"], "--scale is 'two'"),
        (["experiments/tiny", "--scale", "4"], "--scale is 4, but tiny enlarges x2"),
        (["experiments/tiny", "--tile", "big"], "--tile is 'big'"),
        (["experiments/tiny", "--tile", "0"], "tile is 0"),
    ],
)
def test_wrong_arguments_are_one_sentence(experiment, arguments, words):
    with pytest.raises(OptionsError, match=words):
        run(*arguments)


def test_no_set_at_all_is_a_data_error():
    with pytest.raises(DataError) as caught:
        run("--bicubic", "--sets", "Urban100")
    assert caught.value.exit_code == 3
    assert "qsr data list" in str(caught.value)


def test_bicubic_runs_without_torch(place, repository):
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "import typer; from qsr.cli.test_verb import command\n"
        "app = typer.Typer(); app.command()(command); app(['--bicubic', '--scale', '2', '--sets', 'Set5'])"
    )
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=place, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "33.66 / 0.9299" in done.stdout
