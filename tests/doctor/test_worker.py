"""The process that checks run in: whatever one does to it, the others go on, and nothing is left running."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from qsr.doctor.check import Check
from qsr.doctor.worker import Worker, examine, installed, one_line
from qsr.files import process_alive


def test_one_worker_answers_many_times(fake, tmp_path: Path):
    with Worker() as worker:
        findings = [worker.ask(fake("fine"), tmp_path) for _ in range(3)]
        assert worker.alive
    assert {finding.status for finding in findings} == {"ok"}
    pids = {finding.facts["pid"] for finding in findings}
    assert len(pids) == 1
    assert os.getpid() not in pids
    assert not process_alive(pids.pop())


def test_what_a_check_raises_is_a_failure_and_the_next_one_runs(fake, tmp_path: Path):
    with Worker() as worker:
        found = worker.ask(fake("raises"), tmp_path)
        assert (found.status, found.found) == ("fail", "ValueError: the first line")
        assert "the second line" in found.facts["traceback"]
        assert worker.ask(fake("fine"), tmp_path).status == "ok"


def test_an_error_of_qsrs_brings_its_own_advice():
    found = examine("tests.doctor.doctor_fakes:refuses", [], None)
    assert (found.status, found.found, found.todo) == ("fail", "here: no such thing", "get one")


def test_a_check_that_is_not_there_is_a_failure():
    assert examine("qsr.doctor.nowhere:check", [], None).found == "ModuleNotFoundError: No module named 'qsr.doctor.nowhere'"
    assert examine("qsr.doctor.text:check", [], None).status == "fail"


def test_what_is_not_installed_is_skipped(fake, tmp_path: Path):
    with Worker() as worker:
        found = worker.ask(fake("broken", needs=("no_such_package", "sys")), tmp_path)
    assert (found.status, found.todo) == ("skip", "pip install 'qsr[train]'")
    assert found.found == "no_such_package not installed, needed for training"


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("killed", "the check ended its process with SIGKILL: last words"),
        ("illegal", "the check ended its process with SIGILL"),
        ("leaves", "the check ended its process with exit code 3"),
    ],
)
def test_a_process_that_dies_is_a_failure(fake, tmp_path: Path, function: str, said: str):
    with Worker() as worker:
        found = worker.ask(fake(function), tmp_path)
        assert not worker.alive
    assert (found.status, found.found) == ("fail", said)
    assert ("QSR_ISA" in found.todo) == (function == "illegal")
    assert any("in illegal" in line for line in found.facts["log"]) == (function == "illegal"), "the stack is kept"


def test_a_check_that_takes_too_long_is_ended_with_all_that_it_started(fake, tmp_path: Path):
    begin = time.monotonic()
    with Worker() as worker:
        found = worker.ask(fake("hangs", seconds=1.5, in_folder=True), tmp_path)
    assert time.monotonic() - begin < 10
    assert (found.status, found.found) == ("fail", "no answer within 1.5 s")
    assert "--only hangs" in found.todo
    child = int((tmp_path / "child").read_text())
    for _ in range(100):
        if not process_alive(child) or Path(f"/proc/{child}/stat").read_text().split()[2] == "Z":
            return
        time.sleep(0.02)
    pytest.fail("a process that the check started lives on")


def test_a_dead_worker_is_asked_in_vain(fake, tmp_path: Path):
    with Worker() as worker:
        worker.ask(fake("leaves"), tmp_path)
        assert worker.close() == 3
        assert not worker.alive


def test_alone_means_one_thread(fake, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    check = fake("in_folder", in_folder=True)
    with Worker() as many, Worker(one_thread=True) as one:
        assert many.ask(check, tmp_path).facts == {"threads": "7"}
        found = one.ask(check, tmp_path)
    assert (found.found, found.facts) == (str(tmp_path), {"threads": "1"})


def test_a_folder_named_torch_where_the_user_stands_is_nobodys_torch(fake, tmp_path: Path, monkeypatch):
    (tmp_path / "json").mkdir()
    (tmp_path / "json" / "__init__.py").write_text("raise RuntimeError('the wrong json')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [entry for entry in __import__("sys").path if entry])
    with Worker() as worker:
        assert worker.ask(fake("fine"), tmp_path).status == "ok"


def test_installed():
    assert installed("json")
    assert not installed("no_such_package")
    assert not installed("no_such_package.inner")


def test_one_line():
    assert one_line("\n\n  first \x1b[2J\nsecond") == "first \\x1b[2J"
    assert one_line("") == ""
    assert len(one_line("x" * 1000)) == 300


def test_a_check_is_plain_values():
    assert Check("a", "b", "c:d").needs == ()
