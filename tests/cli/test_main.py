"""A user's mistake is one line and its exit code; a traceback only with --debug. Verbs come from the table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import qsr
from qsr.cli import main
from qsr.errors import DataError, EnvironmentFault, NumericalError, OptionsError, QsrError


def run_main(monkeypatch: pytest.MonkeyPatch, fault: BaseException, *arguments: str) -> int:
    """Exit status of `qsr ARGUMENTS` when its verb raises `fault`."""

    def raising() -> None:
        raise fault

    monkeypatch.setattr(main, "app", raising)
    monkeypatch.setattr(sys, "argv", ["qsr", *arguments])
    with pytest.raises(SystemExit) as end:
        main.main()
    return end.value.code


@pytest.mark.parametrize(
    ("fault", "code"), [(QsrError("a"), 1), (OptionsError("a"), 2), (DataError("a"), 3), (NumericalError("a"), 4)]
)
def test_a_mistake_is_one_line_and_its_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fault: QsrError, code: int
) -> None:
    assert run_main(monkeypatch, fault) == code
    captured = capsys.readouterr()
    assert captured.err == "qsr: a\n"
    assert captured.out == ""


def test_ctrl_c_is_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main(monkeypatch, KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "qsr: interrupted\n"


def test_debug_lets_the_error_through_and_is_no_argument_of_the_verb(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def verb() -> None:
        seen.extend(sys.argv)
        raise DataError("a")

    monkeypatch.setattr(main, "app", verb)
    monkeypatch.setattr(sys, "argv", ["qsr", "info", "--debug", "x"])
    with pytest.raises(DataError):
        main.main()
    assert seen == ["qsr", "info", "x"]


def test_help_lists_every_verb_and_version_is_printed() -> None:
    text = CliRunner().invoke(main.app, ["--help"]).stdout
    for verb in main.VERBS:
        assert f" {verb} " in text
    assert CliRunner().invoke(main.app, ["--version"]).stdout == f"qsr {qsr.__version__}\n"


@pytest.mark.parametrize(("arguments", "code"), [(["info", "no-such-file"], 3), (["trian"], 2)])
def test_the_real_program(repository: Path, arguments: list[str], code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "qsr.cli.main", *arguments], cwd=repository, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


def test_debug_shows_the_traceback(repository: Path) -> None:
    command = [sys.executable, "-m", "qsr.cli.main", "info", "no-such-file", "--debug"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "FormatError: no-such-file: no such file or experiment" in done.stderr


@pytest.mark.parametrize(("called", "loaded"), [("info", ["info"]), ("--help", list(main.VERBS)), ("trian", list(main.VERBS))])
def test_only_the_verb_that_is_called_is_built(monkeypatch: pytest.MonkeyPatch, called: str, loaded: list[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["qsr", called, "train"])
    assert list(main._wanted()) == loaded


def test_a_package_of_the_training_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    missing = ModuleNotFoundError("No module named 'torch'", name="torch.nn")
    assert run_main(monkeypatch, missing) == EnvironmentFault.exit_code
    assert "this needs torch.nn, which is not installed (pip install 'qsr[train]')" in capsys.readouterr().err


@pytest.mark.drill("M4")
def test_no_memory_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main(monkeypatch, MemoryError("Unable to allocate 12.0 GiB")) == EnvironmentFault.exit_code
    said = capsys.readouterr().err
    assert said == "qsr: out of memory: Unable to allocate 12.0 GiB (close other programs, or do less at once)\n"
    assert run_main(monkeypatch, MemoryError()) == EnvironmentFault.exit_code
    assert capsys.readouterr().err.startswith("qsr: out of memory (close")


def test_a_mistake_of_ours_in_an_import_stays_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    fault = ModuleNotFoundError("No module named 'qsr.nothing'", name="qsr.nothing")
    monkeypatch.setattr(main, "app", lambda: (_ for _ in ()).throw(fault))
    monkeypatch.setattr(sys, "argv", ["qsr"])
    with pytest.raises(ModuleNotFoundError):
        main.main()
