"""`qsr depth` as typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from qsr import archs
from qsr.archs import depth
from qsr.archs.modelfile import ModelInfo, save_model
from qsr.cli.depth_verb import command
from qsr.errors import OptionsError
from qsr.options import from_dict

app = typer.Typer()
app.command()(command)


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    network = {"type": "SRResNet", "num_feat": 4, "num_block": 4}
    options = from_dict({"name": "test", "scale": 2, "network_g": network, "depth": {"dqa": {"depths": [4, 2]}}})
    built = archs.build(options)
    depth.freeze_order(built)
    save_model(tmp_path / "models" / "net_g_latest.safetensors", built, ModelInfo(options.to_json()))
    return tmp_path


def test_json_and_table_name_the_choice(experiment: Path) -> None:
    data = json.loads(run(experiment, "--size", "8x8", "--json").stdout)
    assert data["chosen"] == 4
    smaller = data["rows"][1]["params_k"]
    result = run(experiment, "--size", "8x8", "--params-max", f"{smaller + 0.001:.4f}K")
    assert result.exit_code == 0
    assert f"depth 2 fits: qsr test {experiment} --depth 2" in result.stdout


def test_milliseconds(experiment: Path) -> None:
    data = json.loads(run(experiment, "--size", "4x4", "--ms-max", "1G", "--json").stdout)
    assert all(row["ms"] > 0 for row in data["rows"])
    assert "milliseconds: one image in torch" in run(experiment, "--size", "4x4", "--measure").stdout


def test_nothing_fits(experiment: Path) -> None:
    result = run(experiment, "--size", "8x8", "--ops-max", "1")
    assert isinstance(result.exception, OptionsError)
    assert result.exception.exit_code == 2
    assert "no depth fits; the smallest, 2, has" in str(result.exception)
    assert "no" in result.stdout


def test_bad_amount(experiment: Path) -> None:
    result = run(experiment, "--ops-max", "many")
    assert isinstance(result.exception, OptionsError)
    assert str(result.exception).startswith("--ops-max: found 'many'")
