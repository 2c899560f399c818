"""`qsr sensitivity` as typed."""

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
from qsr.cli.sensitivity_verb import command
from qsr.data.image import write_png
from qsr.data.resize import bicubic_upscale
from qsr.errors import OptionsError
from qsr.options import from_dict
from qsr.ptq.sensitivity import Sensitivity

app = typer.Typer()
app.command()(command)


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    options = from_dict({"name": "fp", "scale": 2, "network_g": {"type": "SRResNet", "num_feat": 4, "num_block": 1}})
    save_model(tmp_path / "fp.safetensors", archs.build(options), ModelInfo(options.to_json()))
    rng = np.random.default_rng(0)
    write_png(tmp_path / "pictures" / "p.png", bicubic_upscale(rng.integers(0, 256, (12, 16, 3), np.uint8), 4))
    return tmp_path / "fp.safetensors"


def test_table_and_chart(checkpoint: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    size = ("--patches", 2, "--side", 8, "--bits", "2,8")
    result = run(checkpoint, "--calibration", tmp_path / "pictures", *size, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    found = Sensitivity.from_json(json.loads((tmp_path / "out" / "sensitivity.json").read_text()))
    assert len(found.rows) == 6
    assert all(name in result.stdout for name in ("body.0.conv1", "body.0.conv2", "conv_after_body"))
    assert (tmp_path / "out" / "sensitivity.csv").read_text() == found.to_csv()
    assert (tmp_path / "out" / "sensitivity.png").read_bytes()[:4] == b"\x89PNG"
    assert "qsr allocate" in result.stdout


def test_wrong_words(checkpoint: Path, tmp_path: Path) -> None:
    for arguments, message in ((("--bits", "2,x"), "--bits"), (("--sides", "left"), "both or separate")):
        result = run(checkpoint, "--calibration", tmp_path / "pictures", *arguments)
        assert isinstance(result.exception, OptionsError)
        assert message in str(result.exception)
