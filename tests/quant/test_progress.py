"""Quantizers that follow training and those that add to its loss are found; the others are not touched."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from qsr.quant import create
from qsr.quant.base import Quantizer
from qsr.quant.progress import penalised, penalties, scheduled, set_progress
from qsr.spec import QuantSpec

PLAIN = QuantSpec("lsq", 4)


class Scheduled(Quantizer):
    progress = -1.0

    def set_progress(self, progress: float) -> None:
        self.progress = progress


class Penalised(Quantizer):
    term: Tensor | None = None

    def penalty(self) -> Tensor | None:
        return self.term


@pytest.fixture
def network() -> nn.Module:
    plain = create(PLAIN, "act", 3, 1)
    return nn.Sequential(plain, Scheduled(PLAIN, "act"), nn.Sequential(Penalised(PLAIN, "act"), Penalised(PLAIN, "act")))


def test_only_those_that_override_are_found(network: nn.Module) -> None:
    assert scheduled(network) == [network[1]]
    assert penalised(network) == [network[2][0], network[2][1]]


def test_progress_reaches_them(network: nn.Module) -> None:
    set_progress(network, 0.25)
    assert network[1].progress == 0.25
    for wrong in (-0.01, 1.01):
        with pytest.raises(ValueError, match="expected 0 to 1"):
            set_progress(network, wrong)


def test_penalties_are_summed_and_may_be_absent(network: nn.Module) -> None:
    assert penalties(network) is None, "no forward yet"
    network[2][0].term = torch.tensor(2.0)
    assert penalties(network) == 2.0
    network[2][1].term = torch.tensor(3.0)
    assert penalties(network) == 5.0
    assert penalties(nn.Sequential(create(PLAIN, "act", 3, 1))) is None
