"""Killed at any moment and resumed, a run ends with the same bits as one that was left alone (reliability T1, T3)."""

from __future__ import annotations

import random
import signal
from pathlib import Path
from typing import Any

import pytest
from train_drill import assert_same, outcome, run, tiny_options

from qsr.train import checkpoint


@pytest.fixture(scope="module")
def undisturbed(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("undisturbed")
    assert run(tiny_options(pictures, root)) == 0
    return outcome(root / "tiny")


def test_killed_in_every_stage_and_in_the_save(undisturbed: dict[str, Any], pictures: Path, tmp_path: Path) -> None:
    options = tiny_options(pictures, tmp_path)
    # full precision, the step after the switch to quantization, warm-up, joint depths; between them in the middle of a save
    for how in ({"die_at": 3}, {"die_in_fsync": 12}, {"die_at": 7}, {"die_at": 11}, {"die_in_fsync": 9}):
        assert run(options, auto_resume=True, **how) == -signal.SIGKILL
    assert run(options, auto_resume=True) == 0
    assert_same(outcome(tmp_path / "tiny"), undisturbed)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_saves_and_exits_with_5(undisturbed: dict[str, Any], pictures: Path, tmp_path: Path, number: int) -> None:
    options = tiny_options(pictures, tmp_path)
    assert run(options, signal_at=6 + number % 5, signals=[number]) == 5
    assert checkpoint.newest(tmp_path / "tiny" / "checkpoints", print) is not None
    assert run(options, auto_resume=True) == 0
    assert_same(outcome(tmp_path / "tiny"), undisturbed)


def test_a_second_signal_ends_at_once(pictures: Path, tmp_path: Path) -> None:
    options = tiny_options(pictures, tmp_path)
    assert run(options, signal_at=2, signals=[signal.SIGINT, signal.SIGINT], pause=0.6) == 128 + signal.SIGINT
    assert not (tmp_path / "tiny" / "checkpoints").exists()


@pytest.mark.nightly
def test_thirty_random_kills(undisturbed: dict[str, Any], pictures: Path, tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    options = tiny_options(pictures, tmp_path)
    for _ in range(30):
        how = {"die_in_fsync": chance.randint(1, 20)} if chance.random() < 0.5 else {"die_at": chance.randint(1, 16)}
        if run(options, auto_resume=True, **how) == 0:
            assert_same(outcome(tmp_path / "tiny"), undisturbed)
            assert run(options, overwrite=True, die_at=2) == -signal.SIGKILL
    assert run(options, auto_resume=True) == 0
    assert_same(outcome(tmp_path / "tiny"), undisturbed)
