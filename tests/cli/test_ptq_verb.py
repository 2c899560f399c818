"""`qsr ptq` as typed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from qsr import archs
from qsr.archs.modelfile import ModelInfo, read_info, save_model
from qsr.cli.ptq_verb import command
from qsr.data.image import write_png
from qsr.data.resize import bicubic_upscale
from qsr.errors import OptionsError
from qsr.options import from_dict

app = typer.Typer()
app.command()(command)
QUICK = ("--patches", 4, "--side", 8, "--iterations", 2, "--rounding-iterations", 2)


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


def test_what_was_done_is_said(checkpoint: Path, tmp_path: Path) -> None:
    where = ("--calibration", tmp_path / "pictures", "-o", tmp_path / "q.safetensors")
    result = run(checkpoint, "--w-bits", 4, "--a-bits", 4, *where, *QUICK)
    assert result.exit_code == 0, result.output
    assert "step sizes of 6 quantizers by mse" in result.stdout
    assert "bounds distilled in 2 iterations" in result.stdout
    assert f"qsr test --model {tmp_path / 'q.safetensors'}" in result.stdout
    assert read_info(tmp_path / "q.safetensors").extra["ptq"]["patches"] == 4


def test_json_and_the_other_options(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "r.yml").write_text("quant:\n  rules:\n  - {match: body.0.conv1, w_bits: 8, a_bits: 8}\n")
    where = ("--calibration", tmp_path / "pictures", "-o", tmp_path / "exp")
    more = ("--method", "minmax", "--quantizer", "lsq_plus", "--rules", tmp_path / "r.yml", "--json")
    result = run(checkpoint, "--w-bits", 2, "--a-bits", 3, *where, *QUICK, *more)
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert data["name"] == "fp_ptq_minmax_w2a3_rules"
    layers = {row["module"]: row for row in read_info(data["file"]).layers["rows"]}
    assert (layers["body.0.conv1"]["w_bits"], layers["body.0.conv2"]["a_bits"]) == (8, 3)
    assert layers["body.0.conv2"]["a_method"] == "lsq_plus"


def test_without_bits(checkpoint: Path, tmp_path: Path) -> None:
    result = run(checkpoint, "--calibration", tmp_path / "pictures")
    assert isinstance(result.exception, OptionsError)
    assert "--w-bits 4 --a-bits 4" in str(result.exception)
