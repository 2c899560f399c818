"""`qsr allocate` as typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import typer
import yaml
from typer.testing import CliRunner

from qsr import archs
from qsr.archs.modelfile import ModelInfo, save_model
from qsr.cli.allocate_verb import command
from qsr.errors import FormatError, OptionsError
from qsr.options import from_dict
from qsr.ptq.sensitivity import Loss, Sensitivity

app = typer.Typer()
app.command()(command)
LAYERS = ("body.0.conv1", "body.0.conv2", "conv_after_body")
QUANT = {"method": "lsq", "w_granularity": "channel", "w_bits": 2, "a_bits": 2}


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    options = from_dict({"name": "fp", "scale": 2, "network_g": {"type": "SRResNet", "num_feat": 4, "num_block": 1}})
    save_model(tmp_path / "fp.safetensors", archs.build(options), ModelInfo(options.to_json()))
    rows = tuple(Loss(name, b, b, 29.0, 1.0, 10.0**i * 16 / b**2) for i, name in enumerate(LAYERS) for b in (2, 4, 8))
    found = Sensitivity("fp", "pictures", 4, 8, 30.0, QUANT, rows)
    (tmp_path / "s.json").write_text(json.dumps(found.to_json()))
    return tmp_path / "fp.safetensors"


def test_rules_as_good_as_uniform_cost(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.yml"
    result = run(checkpoint, "--sensitivity", tmp_path / "s.json", "--like", "w3a3", "--size", "16x16", "-o", out)
    assert result.exit_code == 0, result.output
    rules = {rule["match"]: rule["w_bits"] for rule in yaml.safe_load(out.read_text())["quant"]["rules"]}
    assert list(rules) == list(LAYERS)
    assert rules["conv_after_body"] > rules["body.0.conv1"]
    assert "bits per weight" in result.stdout


def test_budgets_as_json(checkpoint: Path, tmp_path: Path) -> None:
    times = {"other": 1.0, "layers": {name: {f"w{b}a{b}": float(b) for b in (2, 4, 8)} for name in LAYERS}}
    (tmp_path / "ms.json").write_text(json.dumps(times))
    limits = ("--ms-max", 13, "--ms-table", tmp_path / "ms.json", "--params-max", "1K", "--ops-max", "1G")
    result = run(checkpoint, "--sensitivity", tmp_path / "s.json", *limits, "-o", tmp_path / "a.yml", "--json")
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert data["ms"] == 13
    assert [row["w_bits"] for row in data["rows"]] == [2, 2, 8]


def test_what_is_missing_is_said(checkpoint: Path, tmp_path: Path) -> None:
    table = ("--sensitivity", tmp_path / "s.json")
    for arguments, kind, message in (
        (table, OptionsError, "no budget"),
        ((*table, "--like", "4"), OptionsError, "expected for instance w4a4"),
        (("--sensitivity", tmp_path / "none.json"), FormatError, "not a readable JSON file"),
        ((*table, "--params-max", "1"), OptionsError, "the smallest has"),
    ):
        result = run(checkpoint, *arguments, "-o", tmp_path / "a.yml")
        assert isinstance(result.exception, kind)
        assert message in str(result.exception)
    assert not (tmp_path / "a.yml").exists()
