"""XNOR-Net++: the scale is a parameter."""

from __future__ import annotations

import pytest
import torch

from qsr.quant import parameter_groups
from qsr.quant.modules import QConv2d
from qsr.quant.signs import SCALE_FLOOR
from qsr.quant.xnorpp import XNORPP
from qsr.spec import QuantSpec

DRAW = torch.Generator().manual_seed(6)
W, G = (torch.randn(3, 2, 3, 3, generator=DRAW, dtype=torch.float64) for _ in range(2))
SIGNS = torch.copysign(torch.ones_like(W), W)


def weights(granularity: str = "channel") -> XNORPP:
    return XNORPP(QuantSpec("xnorpp", 1, granularity), "weight", 3, 0).double()


def test_gamma_starts_at_the_mean_size() -> None:
    for granularity, expected in (("channel", W.abs().mean((1, 2, 3))), ("tensor", W.abs().mean())):
        quantizer = weights(granularity)
        quantizer(W)
        assert torch.allclose(quantizer.step, expected)
        quantizer(10 * W)
        assert torch.allclose(quantizer.step, expected)


@pytest.mark.parametrize("raw", [[0.5, 2.0, 0.1], [-0.5, 2.0, -0.1]])
def test_gradients_follow_the_chain_rule(raw: list[float]) -> None:
    quantizer = weights()
    quantizer(W)
    gamma = torch.tensor(raw, dtype=torch.float64)
    quantizer.step.data = gamma
    w = W.clone().requires_grad_()
    out = quantizer(w)
    out.backward(G)
    size = gamma.abs().view(3, 1, 1, 1)
    assert torch.equal(out, size * SIGNS)
    assert torch.allclose(w.grad, torch.where(W.abs() <= 1, G * size, 0.0), rtol=1e-14)
    assert torch.allclose(quantizer.step.grad, (G * SIGNS).sum((1, 2, 3)) * gamma.sign(), rtol=1e-12)


def test_a_dead_channel_can_grow_again() -> None:
    quantizer = weights()
    dead = W.clone()
    dead[1] = 0
    quantizer(dead).backward(G)
    assert quantizer(dead)[1].unique().tolist() == pytest.approx([SCALE_FLOOR])
    assert quantizer.step.grad[1] == pytest.approx(G[1].sum().item())  # sign(0) = +1


def test_activations_are_plain_signs() -> None:
    quantizer = XNORPP(QuantSpec("xnorpp", 1), "act", 2, 1).eval()
    x = torch.tensor([[-2.0, 0.5]], requires_grad=True)
    quantizer(x).sum().backward()
    assert quantizer(x).tolist() == [[-1, 1]]
    assert x.grad.tolist() == [[0, 1]]
    assert list(quantizer.parameters()) == []


def test_a_learning_rate_may_be_counted_in_gammas() -> None:
    quantizer = weights()
    quantizer(W)
    assert quantizer.unit() == pytest.approx(W.abs().mean().item())
    assert XNORPP(QuantSpec("xnorpp", 1), "act", 2, 1).unit() == 1.0


def test_gamma_is_a_step_for_the_optimiser() -> None:
    spec = QuantSpec("xnorpp", 1, "channel")
    layer = QConv2d.from_float(torch.nn.Conv2d(2, 3, 3), spec, QuantSpec("xnorpp", 1))
    assert [name for name, _ in parameter_groups(layer)["step"]] == ["weight_quant.step"]
