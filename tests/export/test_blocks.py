"""Residual blocks in few operations; that they compute the same is test_lower.py's business."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from qsr.archs.units import Join, RPReLU
from qsr.archs.units import activation as made
from qsr.export.blocks import activation, gain_of
from qsr.export.builder import Builder, Shared
from qsr.runtime.interpreter_maths import prelu
from qsr.runtime.packed.codes import vector
from qsr.runtime.packed.ops import PReLU


@pytest.mark.parametrize("kind", ["relu", "prelu", "rprelu", "lrelu"])
def test_activations(kind) -> None:
    torch.manual_seed(0)
    act = made(kind, 6)
    with torch.no_grad():
        for parameter in act.parameters():
            parameter.normal_()
    b = Builder(Shared(half=lambda name: False))
    activation(b, 0, "act", act)
    op = b.ops[1]
    assert isinstance(op, PReLU)
    x = torch.randn(1, 6, 4, 5)
    vectors = (vector(value, 6, b.shared.tensors) for value in (op.slope, op.before, op.after))
    with torch.no_grad():
        expected = act(x.clone())[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(prelu(x[0].permute(1, 2, 0).numpy(), *vectors), expected, atol=1e-6)


def test_what_is_in_the_bias_is_not_added_again() -> None:
    act = RPReLU(3)
    nn.init.normal_(act.gamma)
    b = Builder(Shared(half=lambda name: False))
    activation(b, 0, "act", act, moved=True)
    assert b.ops[1] == PReLU((0,), 0.25, 0.0, 0.0)


def test_other_modules_are_no_activations() -> None:
    with pytest.raises(TypeError, match="act: GELU is no activation"):
        activation(Builder(Shared(half=lambda name: False)), 0, "act", nn.GELU())


def test_gains() -> None:
    join = Join(balanced=True)
    join.gain.fill_(0.25)
    assert (gain_of(join), gain_of(Join())) == (0.25, 1.0)
