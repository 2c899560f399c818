"""qsr.train.schedules against basicsr's schedulers, which are recursive: same rates at current_iter - 1."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import pytest
import torch

from qsr.compat.basicsr import import_basicsr
from qsr.errors import EnvironmentFault
from qsr.options.schema import Scheduler
from qsr.train import schedules

LENGTH, BASE = 60, 2e-4


@pytest.fixture(scope="module")
def theirs() -> ModuleType:
    try:
        import_basicsr()
    except EnvironmentFault as fault:
        pytest.skip(str(fault))
    return importlib.import_module("basicsr.models.lr_scheduler")


def rates_of(kind: Any, *settings: Any) -> list[float]:
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=BASE)
    scheduler = kind(optimiser, *settings)
    found = []
    for _ in range(LENGTH):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    return found


def ours(options: Scheduler) -> list[float]:
    schedule = schedules.build(options, LENGTH)
    return [schedule(t, BASE) for t in range(LENGTH)]


def test_multi_step_restart(theirs: ModuleType) -> None:
    options = Scheduler(type="MultiStepRestartLR", milestones=(10, 30, 45), restarts=(0, 25), restart_weights=(1.0, 0.7))
    assert ours(options) == pytest.approx(rates_of(theirs.MultiStepRestartLR, [10, 30, 45], 0.5, [0, 25], [1, 0.7]), rel=1e-12)


def test_cosine_annealing_restart(theirs: ModuleType) -> None:
    options = Scheduler(type="CosineAnnealingRestartLR", periods=(20, 40), restart_weights=(1.0, 0.5), eta_min=1e-7)
    assert ours(options) == pytest.approx(rates_of(theirs.CosineAnnealingRestartLR, [20, 40], [1, 0.5], 1e-7), rel=1e-9)
