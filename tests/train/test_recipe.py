"""What a step minimises: depths weighted, quantizers asked for their terms and told how far training is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from qsr.archs import depth
from qsr.options.schema import Dqa, PixelLoss
from qsr.quant.base import Quantizer
from qsr.spec import QuantSpec
from qsr.train import losses, recipe

X, HR = torch.ones(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
ONE_PASS = recipe.plain_loss(losses.build(PixelLoss()))


class Recorder(nn.Module):
    """Stands for a supernet: remembers at which depth it ran."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(1.0))
        self.depth: int | None = None
        self.ran: list[int | None] = []

    def forward(self, x: Tensor) -> Tensor:
        self.ran.append(self.depth)
        return x * self.weight / (self.depth or 1)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    monkeypatch.setattr(depth, "set_depth", lambda network, n: setattr(network, "depth", n))
    return Recorder()


def test_the_joint_loss_is_the_weighted_sum_over_depths(recorder: Recorder) -> None:
    loss = recipe.joint_loss(ONE_PASS, Dqa(depths=(4, 2, 1), weights=(0.5, 0.3, 0.2)))
    total, terms = loss(recorder, X, HR, 1)
    assert recorder.ran == [4, 2, 1]
    assert recorder.depth is None, "the full depth is back for validation and saving"
    assert {name: float(term) for name, term in terms.items()} == {"l_pix_4": 0.25, "l_pix_2": 0.5, "l_pix_1": 1.0}
    assert total.item() == pytest.approx(0.5 * 0.25 + 0.3 * 0.5 + 0.2 * 1.0)
    total.backward()
    assert recorder.weight.grad is not None


def test_the_sandwich_leaves_out_the_middle_on_odd_iterations(recorder: Recorder) -> None:
    loss = recipe.joint_loss(ONE_PASS, Dqa(depths=(4, 2, 1), sandwich=True))
    loss(recorder, X, X, 1)
    loss(recorder, X, X, 2)
    assert recorder.ran == [4, 1, 4, 2, 1]


class Curious(Quantizer):
    """Multiplies by a learnable step; notes progress, and asks for its square."""

    def __init__(self) -> None:
        super().__init__(QuantSpec("lsq", 2), "act")
        self.step = nn.Parameter(torch.tensor(2.0))
        self.told: list[float] = []

    def forward(self, x: Tensor) -> Tensor:
        return x * self.step

    def set_progress(self, progress: float) -> None:
        self.told.append(progress)

    def penalty(self) -> Tensor:
        return self.step**2


def test_penalties_are_a_term_of_their_own() -> None:
    network = nn.Sequential(Curious(), Curious())
    total, terms = recipe.with_penalties(ONE_PASS)(network, X, HR, 1)
    assert {name: float(term) for name, term in terms.items()} == {"l_pix": 4.0, "l_bits": 8.0}
    assert total.item() == 12.0
    total.backward()
    assert float(network[0].step.grad) == 2.0 + 2 * 2.0


def test_progress_runs_from_zero_to_one_over_the_quantized_iterations() -> None:
    network = nn.Sequential(Curious())
    loss = recipe.with_progress(ONE_PASS, origin=6, total=4)
    for iteration in (7, 8, 10):
        loss(network, X, HR, iteration)
    assert network[0].told == [0.0, 0.25, 0.75]


def test_a_network_is_searched_once() -> None:
    searched = []

    def find(network: nn.Module) -> int:
        searched.append(network)
        return len(searched)

    remembered = recipe.Remembered(find)
    one, other = nn.Identity(), nn.Identity()
    assert [remembered(network) for network in (one, one, other, other)] == [1, 1, 2, 2]
    assert searched == [one, other]
