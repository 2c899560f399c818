"""Defaults of training that recipes rely on (algorithms 1.4)."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from qsr.options.schema_training import Logger, Optim, PixelLoss, Scheduler, Train, Val


def test_defaults_are_the_papers_recipe() -> None:
    train = Train(total_iter=10)
    assert (train.optim_g.type, train.optim_g.lr, train.optim_g.betas) == ("Adam", 2e-4, (0.9, 0.99))
    assert train.optim_g.weight_decay == 0
    assert train.ema_decay == 0.999
    assert train.pixel_opt == PixelLoss(type="L1Loss", loss_weight=1.0, reduction="mean")
    assert train.scheduler.eta_min == 1e-7
    assert train.fp_iter == 0


def test_basicsrs_floats_for_counts_are_whole_numbers() -> None:
    assert Val(val_freq=5e3).val_freq == 5000  # type: ignore[arg-type]
    assert Logger(save_checkpoint_freq=5e3).save_checkpoint_freq == 5000  # type: ignore[arg-type]
    assert Scheduler(milestones=(2e5,)).milestones == (200_000,)  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["step_lr", "shift_lr", "lr"])
def test_learning_rates_are_positive(field: str) -> None:
    with pytest.raises(ValidationError):
        Optim.model_validate({field: 0})
