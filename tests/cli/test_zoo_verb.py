"""`qsr zoo list|get|add` as typed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from qsr import archs
from qsr.archs.modelfile import ModelInfo, save_model
from qsr.cli.zoo_verb import command
from qsr.errors import OptionsError
from qsr.options import from_dict
from qsr.zoo.index import default_model


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


def test_released_models_are_listed_and_found_without_what_training_needs(repository: Path) -> None:
    code = "import sys\nfrom qsr.cli.main import TRAINING_PACKAGES, main\n"
    # typer brings pydantic along
    code += "sys.modules.update(dict.fromkeys(set(TRAINING_PACKAGES) - {'pydantic'}))\n"
    code += "sys.argv = ['qsr', *sys.argv[1:]]\nmain()\n"
    name = default_model(2).name
    for arguments in (["zoo", "list"], ["zoo", "get", name, "--packed"], ["info", name]):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], cwd=repository, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        assert name in done.stdout


def test_mistakes(experiment: Path, tmp_path: Path) -> None:
    run("add", experiment, "--name", "t_x2", "--no-measure", "--zoo", tmp_path / "zoo")
    assert isinstance(run("add", experiment, "--name", "t_x2", "--zoo", tmp_path / "zoo").exception, OptionsError)
    assert isinstance(run("get", "other", "--zoo", tmp_path / "zoo").exception, OptionsError)
    assert run("add", experiment).exit_code == 2
