"""Killed at any moment and resumed, a run ends with the same bits as one that was left alone (reliability T1, T3)."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from train_drill import PATIENCE, assert_same, outcome, run, small_options, start, tiny_options

from qsr.errors import StoppedOnRequest
from qsr.options.schema import Options
from qsr.train import checkpoint
from qsr.train.job import Job
from qsr.train.run import train
from tests.drill import Drill


@pytest.fixture(scope="module")
def undisturbed(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("undisturbed")
    assert run(tiny_options(pictures, root)) == 0
    return outcome(root / "tiny")


@pytest.mark.drill("T1")
def test_killed_in_every_stage_and_in_the_save(
    undisturbed: dict[str, Any], pictures: Path, tmp_path: Path, drill: Drill
) -> None:
    options = tiny_options(pictures, tmp_path)
    # full precision, the step after the switch to quantization, warm-up, joint depths; between them in the middle of a save
    for how in ({"die_at": 3}, {"die_in_fsync": 12}, {"die_at": 7}, {"die_at": 11}, {"die_in_fsync": 9}):
        assert run(options, auto_resume=True, **how) == -signal.SIGKILL
        drill.count()
    assert run(options, auto_resume=True) == 0
    assert_same(outcome(tmp_path / "tiny"), undisturbed)


@pytest.mark.drill("T3")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_saves_and_exits_with_5(undisturbed: dict[str, Any], pictures: Path, tmp_path: Path, number: int) -> None:
    options = tiny_options(pictures, tmp_path)
    assert run(options, signal_at=6 + number % 5, signals=[number]) == 5
    assert checkpoint.newest(tmp_path / "tiny" / "checkpoints", print) is not None
    assert run(options, auto_resume=True) == 0
    assert_same(outcome(tmp_path / "tiny"), undisturbed)


@pytest.mark.drill("T3")
def test_a_second_signal_ends_at_once(pictures: Path, tmp_path: Path) -> None:
    options = tiny_options(pictures, tmp_path)
    assert run(options, signal_at=2, signals=[signal.SIGINT, signal.SIGINT], pause=0.6) == 128 + signal.SIGINT
    assert not (tmp_path / "tiny" / "checkpoints").exists()


def killed_somehow(options: Options, drill: Drill) -> int:
    """Resume, and die at a chosen iteration, inside a save, or whenever the parent's clock says so; the exit code."""
    how = drill.random.choice(("iteration", "fsync", "clock"))
    if how == "iteration":
        return run(options, auto_resume=True, die_at=drill.random.randint(1, 16))
    if how == "fsync":
        return run(options, auto_resume=True, die_in_fsync=drill.random.randint(1, 20))
    process = start(options, auto_resume=True)
    process.join(drill.random.uniform(0.05, 2.0))
    process.kill()  # a process that has ended does not mind
    process.join(PATIENCE)
    return int(process.exitcode)


@pytest.mark.drill("T1")
def test_killed_at_random_moments(undisturbed: dict[str, Any], pictures: Path, tmp_path: Path, drill: Drill) -> None:
    options = tiny_options(pictures, tmp_path)
    for _ in drill.rounds(push=2, nightly=1000):
        before = progress(tmp_path)
        if killed_somehow(options, drill) == 0:
            assert_same(outcome(tmp_path / "tiny"), undisturbed)
            run(options, overwrite=True, die_at=2)
        else:
            assert progress(tmp_path) >= before, "what was saved is lost"
    assert run(options, auto_resume=True) == 0
    assert_same(outcome(tmp_path / "tiny"), undisturbed)


def progress(root: Path) -> int:
    found = checkpoint.newest(root / "tiny" / "checkpoints", print)
    return int(found.name) if found else 0


@pytest.fixture(scope="module")
def small_undisturbed(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("small")
    train(small_options(pictures, root), notify=lambda line: None)
    return outcome(root / "tiny")


@pytest.mark.drill("T3")
def test_a_signal_at_random_moments(
    small_undisturbed: dict[str, Any], pictures: Path, tmp_path: Path, drill: Drill, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, so that it can come in the middle of a save and of the end of a stage at little cost."""
    where, when, number = "", 0, signal.SIGTERM
    calls = {"stepped": Job.stepped, "save": Job.save, "enter": Job.enter}
    done = dict.fromkeys(calls, 0)

    def signalled(name: str) -> Any:
        def call(self: Job, argument: Any) -> Any:
            done[name] += 1
            if (name, done[name]) == (where, when):
                os.kill(os.getpid(), number)
            return calls[name](self, argument)

        return call

    for name in calls:
        monkeypatch.setattr(Job, name, signalled(name))
    for round_ in drill.rounds(push=16, nightly=200):
        options = small_options(pictures, tmp_path / str(round_))
        where, most = drill.random.choice((("stepped", 12), ("save", 3), ("enter", 1)))
        when, number = drill.random.randint(1, most), drill.random.choice((signal.SIGTERM, signal.SIGINT, signal.SIGUSR1))
        done = dict.fromkeys(calls, 0)
        begun = time.monotonic()
        if (where, when) in (("save", 3), ("stepped", 12)):  # nothing is left to stop
            train(options, notify=lambda line: None)
        else:
            with pytest.raises(StoppedOnRequest, match=number.name) as caught:
                train(options, notify=lambda line: None)
            assert caught.value.exit_code == 5
        assert time.monotonic() - begun < 10
        where = ""
        train(options, auto_resume=True, notify=lambda line: None)
        assert_same(outcome(tmp_path / str(round_) / "tiny"), small_undisturbed)
