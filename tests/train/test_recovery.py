"""`train.nan_policy`: a batch passed over, a way back with other data, both bounded and both the same after a kill (T7)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from train_drill import assert_same, outcome, small_options

from qsr.data.training import Loader
from qsr.errors import NumericalError
from qsr.train import checkpoint, finite, recovery
from qsr.train.job import Job
from qsr.train.run import train


class Killed(BaseException):
    """Stands for the end of the process: nothing handles it."""


@contextmanager
def poisoned(bad: Callable[[int, int], bool], die_at: int = 0) -> Iterator[None]:
    """NaN pictures where bad(iteration, rewinds so far); Killed once after iteration `die_at`."""
    batch, stepped = Loader.batch, Job.stepped

    def poison(self: Loader, step: int) -> Any:
        found = batch(self, step)
        if bad(step + 1, self._set.seed >> 32):
            found.lq.fill_(float("nan"))
        return found

    def watched(self: Job, iteration: int) -> None:
        nonlocal die_at
        stepped(self, iteration)
        if iteration == die_at:
            die_at = 0
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loader, "batch", poison)
        patch.setattr(Job, "stepped", watched)
        yield


def run(options: Any, auto_resume: bool = False) -> list[str]:
    lines: list[str] = []
    train(options, auto_resume=auto_resume, notify=lines.append)
    return lines


def warnings(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("WARNING")]


def is_finite(folder: Path) -> bool:
    last = checkpoint.newest(folder / "checkpoints", print)
    assert last is not None
    return all(finite.all_finite(list(load_file(last / f"{name}.safetensors").values())) for name in ("model", "training"))


@pytest.mark.drill("T7")
@pytest.mark.parametrize(("policy", "die_at"), [("skip", 0), ("skip", 6), ("skip", 9), ("rewind", 7), ("rewind", 9)])
def test_it_goes_on_and_a_kill_changes_nothing(pictures: Path, tmp_path: Path, policy: str, die_at: int) -> None:
    """Iterations 5 and 7 have bad pictures; after one way back only 7, after two none."""
    chosen = {"train": {"nan_policy": policy}}

    def bad(iteration: int, rewinds: int) -> bool:
        return iteration in ((5, 7), (7,), ())[rewinds]

    with poisoned(bad):
        lines = run(small_options(pictures, tmp_path / "alone", **chosen))
    assert len(warnings(lines)) == 2
    assert "at iteration 5: first in the input pictures; " in warnings(lines)[0]
    assert ("passed over (2 of 10)" if policy == "skip" else "going back (2 of 3)") in warnings(lines)[1]
    assert is_finite(tmp_path / "alone" / "tiny")
    rows = [json.loads(line)["iter"] for line in (tmp_path / "alone/tiny/metrics.jsonl").read_text().splitlines()]
    left_out = {5, 7} if policy == "skip" else set()
    assert rows == [iteration for iteration in range(1, 13) if iteration not in left_out]
    alone = outcome(tmp_path / "alone" / "tiny")
    assert (alone["facts"]["skipped"], alone["facts"]["rewinds"]) == ((2, 0) if policy == "skip" else (0, 2))
    if die_at:
        options = small_options(pictures, tmp_path, **chosen)
        with poisoned(bad, die_at):
            with pytest.raises(Killed):
                run(options)
            run(options, auto_resume=True)
        assert_same(outcome(tmp_path / "tiny"), alone)


def test_passing_over_takes_no_step(pictures: Path, tmp_path: Path) -> None:
    """The weights after iteration 5, which is passed over, are those after iteration 4; the rate goes on."""
    weights: dict[int, Tensor] = {}
    stepped = Job.stepped

    def watched(self: Job, iteration: int) -> None:
        stepped(self, iteration)
        weights[iteration] = self.trainee.network.conv_first.weight.detach().clone()

    with poisoned(lambda iteration, _: iteration == 5), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Job, "stepped", watched)
        run(small_options(pictures, tmp_path, train={"nan_policy": "skip"}))
    assert torch.equal(weights[4], weights[5])
    assert not torch.equal(weights[5], weights[6])


def test_going_back_brings_other_samples(pictures: Path, tmp_path: Path) -> None:
    seen: dict[tuple[int, int], Tensor] = {}
    forward = Loader.batch

    def watched(self: Loader, step: int) -> Any:
        found = forward(self, step)
        seen[step + 1, self._set.seed >> 32] = found.gt.clone()
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loader, "batch", watched)
        with poisoned(lambda iteration, rewinds: iteration == 6 and not rewinds):
            run(small_options(pictures, tmp_path, train={"nan_policy": "rewind"}))
    assert not torch.equal(seen[5, 0], seen[5, 1])
    assert (4, 1) not in seen, "it goes back to the checkpoint of iteration 4, not further"


@pytest.mark.drill("T7")
@pytest.mark.parametrize(
    ("policy", "bound", "saved", "message"),
    [
        ("skip", "MOST_SKIPPED", "00000004", "at iteration 8: .*; 2 batches have been passed over already"),
        ("rewind", "MOST_REWINDS", "00000004", "at iteration 6: .*; went back 2 times already"),
    ],
)
def test_it_is_bounded(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str, bound: str, saved: str, message: str
) -> None:
    monkeypatch.setattr(recovery, bound, 2)
    options = small_options(pictures, tmp_path, train={"nan_policy": policy})
    with poisoned(lambda iteration, _: iteration > 5), pytest.raises(NumericalError, match=message) as caught:
        run(options)
    assert caught.value.exit_code == 4
    assert (tmp_path / "tiny/checkpoints/LATEST").read_text() == saved
    assert is_finite(tmp_path / "tiny")


def test_the_bounds_are_those_of_the_documentation() -> None:
    assert (recovery.MOST_SKIPPED, recovery.MOST_REWINDS) == (10, 3)


def test_without_a_checkpoint_there_is_no_way_back(pictures: Path, tmp_path: Path) -> None:
    options = small_options(pictures, tmp_path, train={"nan_policy": "rewind"})
    with poisoned(lambda iteration, _: iteration == 3), pytest.raises(NumericalError, match="no checkpoint to go back to"):
        run(options)


def test_a_bad_weight_cannot_be_passed_over(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stepped = Job.stepped

    def bad(self: Job, iteration: int) -> None:
        stepped(self, iteration)
        if iteration == 5:
            self.trainee.network.conv_first.weight.data[0] = float("inf")

    monkeypatch.setattr(Job, "stepped", bad)
    with pytest.raises(NumericalError, match="at iteration 6: first in parameter conv_first.weight") as caught:
        run(small_options(pictures, tmp_path, train={"nan_policy": "skip"}))
    assert "passed over" not in str(caught.value)


def test_a_weight_found_at_the_save_leads_back_too(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the check is rare, the save finds it."""
    stepped = Job.stepped

    def bad(self: Job, iteration: int) -> None:
        stepped(self, iteration)
        if iteration == 8 and self.position.rewinds == 0:
            self.trainee.network.conv_first.weight.data[0] = float("nan")

    monkeypatch.setattr(Job, "stepped", bad)
    chosen = {"train": {"nan_policy": "rewind", "nan_check_freq": 100}, "logger": {"print_freq": 100}}
    lines = run(small_options(pictures, tmp_path, **chosen))
    assert len(warnings(lines)) == 1
    assert "going back (1 of 3): a weight is NaN or Inf at iteration 8; not saved" in warnings(lines)[0]
    assert is_finite(tmp_path / "tiny")
