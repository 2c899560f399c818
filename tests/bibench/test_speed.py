"""Seconds of a training step, beside the twin's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from qsr.archs.modelfile import read_state
from qsr.bibench import speed
from qsr.bibench.rows import Network, Work
from tests.bibench.bench_drill import cell_of


def test_a_steppers_step_trains(made: Work) -> None:
    model = made.task(Network("bnn", "cnn", 2, 0)).folder
    before = read_state(model)
    seen: list[torch.Tensor] = []
    original = speed.make

    def watched(network: torch.nn.Module, *rest: object) -> object:
        seen.append(next(network.parameters()))
        return original(network, *rest)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speed, "make", watched)
        step = speed.stepper(model)
    first = seen[0].detach().clone()
    assert torch.equal(first, before["conv_first.weight"]), "it goes on from the trained weights"
    step()
    assert not torch.equal(seen[0], first)
    for _ in range(10):
        step()  # further than the training was long
    assert torch.isfinite(seen[0]).all()


def test_turns_alternate_and_their_median_counts(made: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    lengths = iter([9.0, 9.0, 2.0, 6.0, 8.0, 2.0])  # warm-ups; own, twin; twin, own

    def stepper(model: Path) -> object:
        return lambda: order.append(model.name)

    def turn(step: object, count: int) -> float:
        step()  # type: ignore[operator]
        return next(lengths)

    monkeypatch.setattr(speed, "stepper", stepper)
    monkeypatch.setattr(speed, "turn", turn)
    found = speed.measure(cell_of(made, "train"))
    assert order == [*("bnn_cnn_s0", "fp_cnn_s0"), *("bnn_cnn_s0", "fp_cnn_s0"), *("fp_cnn_s0", "bnn_cnn_s0")]
    assert found["turns"] == {"binary": [2.0, 2.0], "twin": [6.0, 8.0]}
    assert found["ratio"] == 3.5
    assert found["seconds_per_1000"] == {"binary": 2000.0, "twin": 7000.0}
