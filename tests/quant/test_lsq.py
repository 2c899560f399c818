"""LSQ is the straight-through estimator with a learned step and nothing else."""

from __future__ import annotations

import pytest
import torch

from qsr.errors import OptionsError
from qsr.quant.lsq import LSQ, StraightThrough
from qsr.spec import QuantSpec


def test_slope_is_one() -> None:
    assert StraightThrough()(torch.tensor([-0.5, 0.0, 0.3])).tolist() == [1, 1, 1]
    assert StraightThrough.polynomial.tolist() == [1] + [0] * 7


def test_gradient_passes_inside_the_range_only() -> None:
    quantizer = LSQ(QuantSpec("lsq", 2), "weight", 1, 0)
    quantizer(torch.ones(1))
    with torch.no_grad():
        quantizer.step.fill_(1.0)
    x = torch.tensor([-2.1, -2.0, 0.4, 1.0, 1.1], requires_grad=True)
    assert quantizer(x).tolist() == [-2, -2, 0, 1, 1]
    quantizer(x).sum().backward()
    assert x.grad.tolist() == [0, 1, 1, 1, 0]


def test_has_neither_shift_nor_k() -> None:
    assert [name for name, _ in LSQ(QuantSpec("lsq", 4), "act", 3, 1).named_parameters()] == ["step"]
    with pytest.raises(OptionsError, match="no setting 'shift'"):
        LSQ(QuantSpec("lsq", 4, params=(("shift", True),)), "act", 3, 1)
