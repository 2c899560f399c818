"""EWGS against its equation; forward, codes and state are the battery's (test_battery.py)."""

from __future__ import annotations

import pytest
import torch

from qsr.quant.base import Quantizer, create
from qsr.spec import QuantSpec, Scalar


def quantizer(method: str, **settings: Scalar) -> Quantizer:
    made = create(QuantSpec(method, 4, params=tuple(settings.items())), "weight", 3, 0).double()
    torch.manual_seed(0)
    made(torch.randn(3, 50, dtype=torch.float64))
    return made


@pytest.mark.parametrize("delta", [0.0, 0.1, 1.0])
def test_the_gradient_is_the_equations(delta: float) -> None:
    ewgs = quantizer("ewgs", delta=delta)
    x = torch.randn(3, 50, dtype=torch.float64, requires_grad=True)
    g = torch.randn(3, 50, dtype=torch.float64)
    ewgs(x).backward(g)
    u = (x / ewgs.step.abs()).detach()
    inside = (u >= -8) & (u <= 7)
    expected = g * (1 + delta * g.sign() * (u - u.round())) * inside
    torch.testing.assert_close(x.grad, expected, rtol=1e-12, atol=1e-14)


def test_delta_zero_is_lsq_in_the_step_too() -> None:
    x, g = torch.randn(3, 50, dtype=torch.float64), torch.randn(3, 50, dtype=torch.float64)
    grads = []
    for made in (quantizer("ewgs", delta=0.0), quantizer("lsq")):
        made(x).backward(g)
        grads.append(made.step.grad)
    torch.testing.assert_close(*grads)
