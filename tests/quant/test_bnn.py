"""BNN: signs and nothing else."""

from __future__ import annotations

import pytest
import torch

from qsr.errors import OptionsError
from qsr.quant.base import Role
from qsr.quant.bnn import BNN
from qsr.spec import QuantSpec


@pytest.mark.parametrize("role", ["weight", "act"])
def test_forward_and_gradient(role: Role) -> None:
    x = torch.tensor([[-1.5, -1.0, -0.2, 0.0, 0.7, 1.0, 1.1]], requires_grad=True)
    out = BNN(QuantSpec("bnn", 1), role, 1, 0)(x)
    out.backward(torch.full_like(out, 0.5))
    assert out.tolist() == [[-1, -1, -1, 1, 1, 1, 1]]
    assert x.grad.tolist() == [[0, 0.5, 0.5, 0.5, 0.5, 0.5, 0]]


def test_needs_no_data_and_learns_nothing() -> None:
    quantizer = BNN(QuantSpec("bnn", 1), "act", 3, 1).eval()
    assert quantizer.initialised
    assert list(quantizer.parameters()) == []
    assert quantizer.encode(torch.randn(1, 3)).scale.tolist() == [1.0]


def test_has_no_settings() -> None:
    with pytest.raises(OptionsError, match="it has: none"):
        BNN(QuantSpec("bnn", 1, params=(("clip", True),)), "weight", 3, 0)
