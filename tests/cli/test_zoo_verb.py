"""`qsr zoo list|get|add` as typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from qsr import archs
from qsr.archs.modelfile import ModelInfo, save_model
from qsr.cli.zoo_verb import command
from qsr.errors import OptionsError
from qsr.options import from_dict


def run(*arguments: object):
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    options = from_dict({"name": "t", "scale": 2, "network_g": {"type": "SRResNet", "num_feat": 4, "num_block": 1}})
    save_model(tmp_path / "exp" / "models" / "net_g_latest.safetensors", archs.build(options), ModelInfo(options.to_json()))
    return tmp_path / "exp"


def test_add_list_get(experiment: Path, tmp_path: Path) -> None:
    zoo = tmp_path / "zoo"
    added = run("add", experiment, "--name", "t_x2", "--data", "BSD400", "--recipe", "by hand", "--no-measure", "--zoo", zoo)
    assert added.exit_code == 0, added.output
    assert added.stdout.startswith("added t_x2: ")
    (model,) = json.loads(run("list", "--json", "--zoo", zoo).stdout)
    assert (model["name"], model["ms"], model["licence"]) == ("t_x2", None, "non-commercial research and education")
    assert "t_x2" in run("list", "--zoo", zoo).stdout
    assert run("get", "t_x2", "--zoo", zoo).stdout.strip() == str(zoo / "t_x2.safetensors")
    assert run("get", "t_x2", "-o", tmp_path / "copy.safetensors", "--zoo", zoo).exit_code == 0
    assert (tmp_path / "copy.safetensors").read_bytes() == (zoo / "t_x2.safetensors").read_bytes()


def test_mistakes(experiment: Path, tmp_path: Path) -> None:
    run("add", experiment, "--name", "t_x2", "--no-measure", "--zoo", tmp_path / "zoo")
    assert isinstance(run("add", experiment, "--name", "t_x2", "--zoo", tmp_path / "zoo").exception, OptionsError)
    assert isinstance(run("get", "other", "--zoo", tmp_path / "zoo").exception, OptionsError)
    assert run("add", experiment).exit_code == 2
