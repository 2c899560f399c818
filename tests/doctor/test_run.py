"""The whole examination over fake checks: order, verdict, exit code, and that a crash costs one line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import qsr
from qsr.doctor.run import examine
from qsr.doctor.storage import PREFIX


def test_every_check_has_its_line_whatever_the_one_before_did(fake, tmp_path: Path):
    checks = [
        fake("fine", "first"),
        fake("killed"),
        fake("fine", "second"),
        fake("doubtful"),
        fake("raises"),
        fake("fine", "last"),
    ]
    heard = []
    report = examine(checks, tmp_path, heard.append)
    assert [result.check.name for result in report.results] == [check.name for check in checks]
    assert tuple(heard) == report.results
    assert [result.finding.status for result in report.results] == ["ok", "fail", "ok", "warn", "fail", "ok"]
    assert report.counts == {"ok": 3, "warn": 1, "fail": 2, "skip": 0}
    pids = [result.finding.facts["pid"] for result in report.results if "pid" in result.finding.facts]
    assert pids[0] != pids[1] == pids[2], "a worker is replaced when it dies, and only then"


@pytest.mark.parametrize(
    ("functions", "verdict", "code"),
    [
        (["fine", "fine"], "ok", 0),
        (["fine", "doubtful"], "warn", 0),
        (["doubtful", "broken", "fine"], "fail", 6),
        ([], "ok", 0),
    ],
)
def test_the_verdict_is_the_worst_finding(fake, tmp_path: Path, functions, verdict, code):
    report = examine([fake(name) for name in functions], tmp_path)
    assert (report.verdict, report.exit_code) == (verdict, code)


def test_json_has_everything(fake, tmp_path: Path):
    report = json.loads(json.dumps(examine([fake("broken"), fake("fine")], tmp_path).to_json()))
    assert (report["qsr"], report["verdict"]) == (qsr.__version__, "fail")
    assert report["counts"] == {"ok": 1, "warn": 0, "fail": 1, "skip": 0}
    first = report["checks"][0]
    assert (first["name"], first["title"], first["status"]) == ("broken", "a fake", "fail")
    assert (first["found"], first["todo"]) == ("it is broken", "mend it")
    assert first["seconds"] >= 0


def test_a_check_that_wants_to_be_alone_gets_its_own_process(fake, tmp_path: Path):
    report = examine([fake("fine", "a"), fake("fine", "b", alone=True), fake("fine", "c")], tmp_path)
    pids = [result.finding.facts["pid"] for result in report.results]
    assert pids[0] == pids[2] != pids[1]


def test_what_a_killed_worker_left_behind_is_removed(fake, tmp_path: Path):
    dead = os.fork()
    if dead == 0:
        os._exit(0)
    os.waitpid(dead, 0)
    (tmp_path / f"{PREFIX}{dead}").mkdir()
    (tmp_path / f"{PREFIX}{os.getpid()}").mkdir()  # somebody who lives
    examine([fake("fine")], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"{PREFIX}{os.getpid()}"]
