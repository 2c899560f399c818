"""`qsr complexity` as typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from qsr import archs
from qsr.archs.modelfile import ModelInfo, save_model
from qsr.cli.complexity_verb import command
from qsr.errors import FormatError, OptionsError
from qsr.options import load

app = typer.Typer()
app.command()(command)


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def option_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yml"
    path.write_text(
        "name: tiny\nscale: 2\nnetwork_g: {type: SRResNet, num_feat: 4, num_block: 2}\ndepth: {dqa: {depths: [4, 2]}}\n"
    )
    return path


def test_option_file(option_file: Path) -> None:
    result = run("-opt", option_file)
    assert result.exit_code == 0
    assert "tiny, 4 blocks:" in result.stdout
    assert "LR 640x360" in result.stdout
    assert "attention products: none" in result.stdout


def test_model_file_experiment_and_option_file_agree(option_file: Path, tmp_path: Path) -> None:
    options = load(option_file).options
    model = tmp_path / "exp" / "models" / "net_g_latest.safetensors"
    save_model(model, archs.build(options), ModelInfo(options.to_json()))
    outputs = [
        run(*target, "--depth", 2, "--json").stdout for target in (("-opt", option_file), (model,), (model.parent.parent,))
    ]
    assert outputs[0] == outputs[1] == outputs[2]
    data = json.loads(outputs[0])
    assert data["depth"] == 2
    assert data["params_k"] > 0
    assert data["ops_g"] > 0


def test_per_layer_lists_every_layer(option_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    result = run("-opt", option_file, "--per-layer", "--size", "8x8")
    assert all(name in result.stdout for name in ("conv_first", "body.3.conv2", "upsample.0", "conv_last"))


def test_overrides_and_modes(option_file: Path) -> None:
    result = run(
        "-opt",
        option_file,
        "--set",
        "network_g.num_feat=64",
        "--set",
        "network_g.num_block=16",
        "--set",
        "depth.dqa=~",
        "--mode",
        "deck-quantsr",
    )
    assert "1367.4 K params, 90.12 G ops" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((), OptionsError),
        (("-opt", "FILE", "--mode", "desk"), OptionsError),
        (("-opt", "FILE", "--depth", 3), OptionsError),
        (("-opt", "FILE", "--size", "8"), OptionsError),
        (("nothing-here",), FormatError),
    ],
)
def test_mistakes(option_file: Path, arguments: tuple[object, ...], error: type[Exception]) -> None:
    result = run(*(option_file if argument == "FILE" else argument for argument in arguments))
    assert isinstance(result.exception, error)
