"""`qsr bench` on the command line: a table, JSON, and refusals before anything is measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qsr.cli.main import app
from qsr.errors import OptionsError
from qsr.runtime.packed import container
from tests.runtime.packed.build import conv_net


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    path = tmp_path / "net.qsr"
    container.write(path, *conv_net("w2a2", features=8, blocks=1))
    return path


def test_a_table_or_json(packed: Path) -> None:
    arguments = ["bench", str(packed), "--size", "12x10", "--rounds", "2", "--threads", "1"]
    text = CliRunner().invoke(app, arguments)
    assert text.exit_code == 0
    assert "12x10" in text.stdout
    assert "interleaved rounds" in text.stdout
    found = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert (found["threads"], found["size"], found["scale"]) == (1, [12, 10], 2)


@pytest.mark.parametrize("wrong", [["--size", "12"], ["--against", "nobody"], ["--depth", "3"]])
def test_what_cannot_be_is_refused(packed: Path, wrong: list[str]) -> None:
    assert isinstance(CliRunner().invoke(app, ["bench", str(packed), *wrong]).exception, OptionsError)


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    assert isinstance(CliRunner().invoke(app, ["bench", str(tmp_path / "no.qsr")]).exception, OptionsError)
