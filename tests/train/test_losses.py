"""Pixel losses against torch's, and against their definition where torch has none."""

from __future__ import annotations

import pytest
import torch

from qsr.options.schema import PixelLoss
from qsr.train import losses


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.rand(2, 3, 5, 7), torch.rand(2, 3, 5, 7)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(("name", "theirs"), [("L1Loss", torch.nn.L1Loss), ("MSELoss", torch.nn.MSELoss)])
def test_equals_torch(pair: tuple[torch.Tensor, torch.Tensor], name: str, theirs: type, reduction: str) -> None:
    found = losses.build(PixelLoss(type=name, reduction=reduction, loss_weight=0.5))(*pair)
    torch.testing.assert_close(found, 0.5 * theirs(reduction=reduction)(*pair))


def test_charbonnier_is_smooth_at_zero(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    sr = pair[0].clone().requires_grad_()
    loss = losses.build(PixelLoss(type="CharbonnierLoss", eps=1e-6))(sr, pair[0])
    loss.backward()
    assert loss.item() == pytest.approx(1e-3)
    assert torch.equal(sr.grad, torch.zeros_like(sr))
    torch.testing.assert_close(losses.charbonnier(*pair), ((pair[0] - pair[1]) ** 2 + 1e-12).sqrt())


def test_a_bf16_output_is_compared_in_float32(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    assert losses.build(PixelLoss())(pair[0].bfloat16(), pair[1]).dtype == torch.float32
