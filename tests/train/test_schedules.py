"""Closed forms against torch's recursive schedulers (basicsr's: tests/parity/test_schedulers.py)."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qsr.options.schema import Scheduler
from qsr.train import schedules

LENGTH, BASE = 60, 2e-4


def rates_of(scheduler_of: object, steps: int = LENGTH) -> list[float]:
    """Rates that a torch-style scheduler gives to steps 0, 1, ..."""
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=BASE)
    scheduler = scheduler_of(optimiser)  # type: ignore[operator]
    found = []
    for _ in range(steps):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    return found


def ours(options: Scheduler, warmup: int = -1, steps: int = LENGTH) -> list[float]:
    schedule = schedules.build(options, LENGTH, warmup)
    return [schedule(t, BASE) for t in range(steps)]


def test_multi_step_is_torchs() -> None:
    theirs = rates_of(lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [10, 11, 40], gamma=0.5))
    assert ours(Scheduler(type="MultiStepLR", milestones=(40, 10, 11), gamma=0.5)) == pytest.approx(theirs, rel=1e-12)


def test_cosine_is_torchs() -> None:
    theirs = rates_of(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, LENGTH, eta_min=1e-7))
    assert ours(Scheduler(type="CosineAnnealingLR", eta_min=1e-7)) == pytest.approx(theirs, rel=1e-9)


def test_warmup_reaches_the_rate_and_then_leaves_it_alone() -> None:
    found = ours(Scheduler(type="constant"), warmup=10, steps=12)
    assert found == pytest.approx([BASE * (t + 1) / 10 for t in range(9)] + [BASE] * 3)
    assert ours(Scheduler(type="constant"), warmup=-1, steps=2) == [BASE, BASE]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=4), st.integers(0, 1000))
def test_no_table_ends(periods: list[int], t: int) -> None:
    """Beyond the last period the rate stays where the period ended (basicsr's scheduler raises there)."""
    rate = schedules.cosine(tuple(periods), (1.0,) * len(periods), 1e-7)
    assert 1e-7 <= rate(t, BASE) <= BASE
    assert rate(sum(periods) + t, BASE) == pytest.approx(1e-7)


def test_each_group_keeps_its_own_scale() -> None:
    schedule = schedules.build(Scheduler(type="MultiStepLR", milestones=(5,), gamma=0.5), LENGTH)
    assert schedule(6, 1e-2) == pytest.approx(5e-3)
    assert schedule(6, 1e-4) == pytest.approx(5e-5)
