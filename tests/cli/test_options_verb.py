"""`qsr options show|schema|docs` as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qsr.cli.options_verb import command
from qsr.errors import OptionsError

STYLE = Path(__file__).parents[1] / "options" / "basicsr_style"


def run(*arguments: str) -> str:
    result = CliRunner().invoke(command, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("flag", ["--set", "--force_yml"])
def test_show_prints_values_origins_and_what_is_ignored(flag: str) -> None:
    text = run("show", str(STYLE / "train_EDSR_Mx2.yml"), flag, "network_g:num_block=8")
    assert any(line.split() == ["num_block:", "8", "#", "--set"] for line in text.splitlines())
    assert "train_EDSR_Mx2.yml:3" in text
    assert "num_gpu: ignored" in text


def test_show_refuses_what_does_not_load() -> None:
    with pytest.raises(OptionsError, match="did you mean scale"):
        run("show", str(STYLE / "train_EDSR_Mx2.yml"), "--set", "scal=2")


def test_schema_is_json() -> None:
    assert json.loads(run("schema"))["properties"]["scale"]["enum"] == [2, 3, 4]


def test_docs_are_written_and_checked(tmp_path: Path) -> None:
    page = tmp_path / "options.md"
    with pytest.raises(OptionsError, match="run `qsr options docs`"):
        run("docs", "--check", "--out", str(page))
    assert run("docs", "--out", str(page)).strip() == f"wrote {page}"
    assert "is current" in run("docs", "--check", "-o", str(page))
    page.write_text(page.read_text() + "x")
    with pytest.raises(OptionsError, match="not what the schema says"):
        run("docs", "--check", "--out", str(page))
