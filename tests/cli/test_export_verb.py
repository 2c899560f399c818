"""`qsr export` as typed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from qsr import archs
from qsr.archs.modelfile import ModelInfo, save_model
from qsr.cli.export_verb import command
from qsr.data.image import write_png
from qsr.errors import FormatError, OptionsError
from qsr.options import from_dict
from qsr.quant import calibrate

app = typer.Typer()
app.command()(command)


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    section = {"type": "SRResNet", "num_feat": 4, "num_block": 1}
    options = from_dict({"name": "t", "scale": 2, "network_g": section, "quant": {"method": "rlq", "w_bits": 2, "a_bits": 2}})
    network = archs.build(options)
    archs.quantize(network, options)
    calibrate(network, [torch.rand(1, 3, 8, 8)])
    save_model(tmp_path / "exp" / "models" / "net_g_latest.safetensors", network, ModelInfo(options.to_json()))
    return tmp_path / "exp"


def test_sizes_are_printed_beside_the_model_file(experiment: Path, tmp_path: Path) -> None:
    target = tmp_path / "net.qsr"
    result = run(experiment, "--packed", "-o", target)
    assert result.exit_code == 0, result.output
    assert f"{target.stat().st_size:,} bytes, 3 quantized layers" in result.stdout
    model = experiment / "models" / "net_g_latest.safetensors"
    assert f"{model.stat().st_size:,} bytes in float32" in result.stdout


def test_verified_as_json(experiment: Path, tmp_path: Path) -> None:
    write_png(tmp_path / "lr.png", np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8))
    result = run(experiment, "--packed", "--json", "--verify", tmp_path / "lr.png")
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert data["bytes"] == Path(data["file"]).stat().st_size == data["sizes"]["file"]
    assert data["verify"]["passed"]
    assert data["verify"]["single"]["max_difference"] <= 1
    assert [layer["codes_equal"] for layer in data["verify"]["layers"]] == [True, True, True]


def test_without_a_kind_and_without_a_model(experiment: Path, tmp_path: Path) -> None:
    result = run(experiment)
    assert isinstance(result.exception, OptionsError)
    assert "say what to export: --packed or --onnx" in str(result.exception)
    assert isinstance(run(tmp_path / "nothing", "--packed").exception, FormatError)


def test_a_tail_in_codes_says_what_it_costs(experiment: Path, tmp_path: Path) -> None:
    result = run(experiment, "--packed", "--tail", "w4a8", "-o", tmp_path / "net.qsr")
    assert result.exit_code == 0, result.output
    assert "tail at w4a8 (upsample.0): " in result.stdout
    assert run(experiment, "--packed", "--tail", "int4").exit_code == 2
