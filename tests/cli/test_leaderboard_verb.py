"""`qsr leaderboard` as a user types it; what it does is tested in tests/leaderboard."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "leaderboard"))

from board_drill import plan, store, write_board, write_data

from qsr.cli.leaderboard_verb import FAILED, command
from qsr.errors import OptionsError
from qsr.leaderboard import run
from qsr.leaderboard.child import Ended
from qsr.leaderboard.run import Session

app = typer.Typer()
app.command()(command)


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    write_data(tmp_path / "data")
    file = write_board(tmp_path, seeds=[0])
    return ["-opt", str(file), "--output", str(tmp_path / "out"), "--data-root", str(tmp_path / "data"), "--any-code"]


def test_a_dry_run_names_every_row_its_state_and_its_command(arguments: list[str], tmp_path: Path) -> None:
    session = Session(plan(tmp_path, tmp_path / "data", seeds=[0]), any_code=True)
    store(session, session.plan.by_name["fp_s0"], 30.0)
    result = CliRunner().invoke(app, [*arguments, "--dry-run", "--budget", "9", "--only", "fp, lsq*"])
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert [line.split(":")[0].split() for line in lines] == [["done", "fp_s0"], ["missing", "lsq_w2a2_s0"]]
    assert "qsr train -opt" in lines[1]
    assert "train.total_iter=9" in lines[1]
    assert not (tmp_path / "out/rows").exists()


def test_collect_only_makes_the_table_of_what_is_there(arguments: list[str], tmp_path: Path) -> None:
    session = Session(plan(tmp_path, tmp_path / "data", seeds=[0]), any_code=True)
    store(session, session.plan.by_name["fp_s0"], 30.25)
    result = CliRunner().invoke(app, [*arguments, "--collect-only"])
    assert result.exit_code == 0, result.output
    assert "30.25 / 0.9000" in result.output
    assert "missing" in result.output
    assert (tmp_path / "out/leaderboard.json").is_file()


def test_a_failed_row_makes_the_table_and_the_exit_code(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, object] = {}

    def execute(session: Session, jobs: int, **how: object) -> None:
        seen.update(how, jobs=jobs, shard=session.plan.shard)
        store(session, session.plan.by_name["fp_s0"], why="no memory")
        session.outcome["fp_s0"] = Ended("failed", "no memory")

    monkeypatch.setattr(run, "execute", execute)
    result = CliRunner().invoke(app, [*arguments, "--jobs", "3", "--shard", "1/2", "--patience", "5"])
    assert result.exit_code == FAILED
    assert (seen["jobs"], seen["shard"], seen["patience"]) == (3, (1, 2), 5.0)
    assert "fp, seed 0: failed: no memory" in result.output
    assert "failed   fp_s0; logs in" in result.output


@pytest.mark.parametrize("text", ["2/1", "0/2", "1", "a/b", "1/2/3"])
def test_a_shard_is_i_of_n(arguments: list[str], text: str) -> None:
    result = CliRunner().invoke(app, [*arguments, "--shard", text])
    assert isinstance(result.exception, OptionsError)
    assert "expected i/n" in str(result.exception)
