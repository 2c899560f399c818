"""Bi-Real: XNOR's weights, a polynomial for the activations' gradient."""

from __future__ import annotations

import pytest
import torch

from qsr.quant.bireal import BiReal
from qsr.spec import QuantSpec

DRAW = torch.Generator().manual_seed(4)
W, GW = (torch.randn(4, 3, 3, 3, generator=DRAW, dtype=torch.float64) for _ in range(2))
A, GA = (torch.randn(2, 4, 5, 5, generator=DRAW, dtype=torch.float64) for _ in range(2))


@pytest.mark.parametrize("granularity", ["channel", "tensor"])
def test_weights(granularity: str) -> None:
    w = W.clone().requires_grad_()
    out = BiReal(QuantSpec("bireal", 1, granularity), "weight", 4, 0)(w)
    out.backward(GW)
    size = W.abs().flatten(1).mean(1).view(4, 1, 1, 1) if granularity == "channel" else W.abs().mean()
    assert torch.allclose(out, torch.copysign(size.expand_as(W), W), rtol=1e-14)
    assert torch.equal(w.grad, torch.where(W.abs() <= 1, GW, 0.0))


def test_activations() -> None:
    a = A.clone().requires_grad_()
    out = BiReal(QuantSpec("bireal", 1), "act", 4, 1)(a)
    out.backward(GA)
    assert torch.equal(out, torch.copysign(torch.ones_like(A), A))
    slope = torch.where(A < 0, 2 + 2 * A, 2 - 2 * A)  # eq. 7 in its two pieces
    assert torch.allclose(a.grad, torch.where(A.abs() < 1, GA * slope, 0.0), rtol=1e-14)
