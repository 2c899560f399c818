"""ReActNet: a sign with a learned threshold."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from qsr.quant import parameter_groups
from qsr.quant.modules import QConv2d, QLinear
from qsr.quant.reactnet import ReActNet
from qsr.spec import QuantSpec

DRAW = torch.Generator().manual_seed(14)
WEIGHT, ACT = QuantSpec("reactnet", 1, "channel"), QuantSpec("reactnet", 1)


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=DRAW, dtype=torch.float64)


@pytest.mark.parametrize(("channel_dim", "shape"), [(1, (2, 3, 4, 5)), (-1, (2, 4, 3)), (-1, (3,))])
def test_gradients_of_activations(channel_dim: int, shape: tuple[int, ...]) -> None:
    quantizer = ReActNet(ACT, "act", 3, channel_dim).double()
    shift = torch.tensor([0.3, -0.5, 0.1], dtype=torch.float64)
    with torch.no_grad():
        quantizer.shift.copy_(shift.view(quantizer.shift.shape))
    x, g = draw(*shape), draw(*shape)
    leaf = x.clone().requires_grad_()
    out = quantizer(leaf)
    out.backward(g)
    z = (x.movedim(channel_dim, -1) + shift).movedim(-1, channel_dim)
    expected = g * (2 - 2 * z.abs()) * (z.abs() < 1)
    assert torch.equal(out.detach(), torch.where(z >= 0, 1.0, -1.0).double())
    assert (leaf.grad - expected).abs().max() < 1e-14
    per_channel = expected.movedim(channel_dim, -1).reshape(-1, 3).sum(0)
    assert (quantizer.shift.grad.flatten() - per_channel).abs().max() < 1e-13


def test_with_a_hard_surrogate_the_gradient_is_whole_inside_the_window() -> None:
    hard = QuantSpec("reactnet", 1, params=(("surrogate", "ste"),))
    quantizer = ReActNet(hard, "act", 3, 1).double()
    with torch.no_grad():
        quantizer.shift.fill_(0.25)
    x, g = draw(2, 3, 4, 5), draw(2, 3, 4, 5)
    leaf = x.clone().requires_grad_()
    quantizer(leaf).backward(g)
    assert torch.equal(leaf.grad, torch.where((x + 0.25).abs() <= 1, g, 0.0))
    soft = ReActNet(ACT, "act", 3, 1).double()
    assert torch.equal(soft(x), ReActNet(hard, "act", 3, 1).double()(x)), "the forward pass does not know it"


def test_gradients_of_weights() -> None:
    w, g = draw(4, 3, 3, 3), draw(4, 3, 3, 3)
    leaf = w.clone().requires_grad_()
    out = ReActNet(WEIGHT, "weight", 4, 0)(leaf)
    out.backward(g)
    size = w.abs().mean((1, 2, 3)).view(4, 1, 1, 1)
    assert torch.allclose(out.detach(), torch.copysign(size.expand_as(w), w), rtol=1e-15)
    assert torch.equal(leaf.grad, torch.where(w.abs() <= 1, g, 0.0))


def test_a_linear_layer_has_shift_and_bias() -> None:
    """The benchmark's code ignores the one and drops the other."""
    layer = QLinear.from_float(nn.Linear(2, 1), WEIGHT, ACT).eval()
    with torch.no_grad():
        layer.weight.fill_(0.5)
        layer.bias.fill_(10)
        layer.act_quant.shift.copy_(torch.tensor([[1.0, -1.0]]))
    assert layer(torch.tensor([[-0.5, 0.5]])).item() == 10  # signs +1 and -1
    assert layer(torch.tensor([[-2.0, 0.5]])).item() == 9


def test_the_shift_is_added_and_travels_with_the_codes() -> None:
    quantizer = ReActNet(ACT, "act", 1, 1)
    with torch.no_grad():
        quantizer.shift.fill_(0.5)
    codes = quantizer.encode(torch.tensor([[[[-0.6, -0.5, -0.4]]]]))
    assert codes.q.flatten().tolist() == [-1, 1, 1]
    assert codes.shift.tolist() == [[[[0.5]]]]


def test_shifts_have_a_group_of_their_own_and_may_be_left_out() -> None:
    layer = QConv2d.from_float(nn.Conv2d(2, 3, 3), WEIGHT, ACT)
    assert [name for name, _ in parameter_groups(layer)["shift"]] == ["act_quant.shift"]
    assert list(ReActNet(QuantSpec("reactnet", 1, params=(("shift", False),)), "act", 2, 1).parameters()) == []
