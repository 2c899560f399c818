"""XNOR-Net: analytic scales of weights and activations, as one number per picture or as a map on the output."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from qsr.quant.modules import QConv2d, QLinear
from qsr.quant.xnor import XNOR
from qsr.spec import QuantSpec

WEIGHT, SAMPLE = QuantSpec("xnor", 1, "channel"), QuantSpec("xnor", 1)
SPATIAL = QuantSpec("xnor", 1, params=(("act_scale", "spatial"),))
DRAW = torch.Generator().manual_seed(5)
A, G = (torch.randn(2, 4, 5, 6, generator=DRAW, dtype=torch.float64) for _ in range(2))


def test_weights_have_the_mean_size_of_their_channel() -> None:
    w = torch.tensor([[0.5, -1.5, 0.25], [-0.75, 0.0, 3.0]], dtype=torch.float64, requires_grad=True)
    g = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], dtype=torch.float64)
    out = XNOR(WEIGHT, "weight", 2, 0)(w)
    out.backward(g)
    assert torch.equal(out, torch.tensor([[0.75, -0.75, 0.75], [-1.25, 1.25, 1.25]], dtype=torch.float64))
    assert w.grad.tolist() == [[1, 0, 3], [4, 5, 0]]  # not multiplied by the scale


def test_a_picture_has_its_own_scale_and_the_gradient_takes_it_along() -> None:
    a = A.clone().requires_grad_()
    out = XNOR(SAMPLE, "act", 4, 1)(a)
    out.backward(G)
    for picture in range(2):
        k = A[picture].abs().sum() / A[picture].numel()
        assert torch.allclose(out[picture], torch.copysign(k.expand_as(A[picture]), A[picture]))
        assert torch.allclose(a.grad[picture], torch.where(A[picture].abs() <= 1, G[picture] * k, 0.0))


def test_a_token_of_a_linear_layer_has_its_own_scale() -> None:
    for spec in (SAMPLE, SPATIAL):
        assert XNOR(spec, "act", 3, -1)(torch.tensor([[[1.0, -2.0, 3.0], [0.0, 0.0, -6.0]]])).tolist() == [
            [[2.0, -2.0, 2.0], [2.0, 2.0, -2.0]]
        ]


@pytest.mark.parametrize(("stride", "padding", "dilation"), [(1, 1, 1), (2, 0, 1), (1, 2, 2)])
def test_the_map_is_the_mean_size_under_the_window(stride: int, padding: int, dilation: int) -> None:
    conv = nn.Conv2d(4, 6, 3, stride=stride, padding=padding, dilation=dilation).double()
    layer = QConv2d.from_float(conv, WEIGHT, SPATIAL)
    size, out = A.abs().sum(1, keepdim=True) / 4, layer(A)
    padded = F.pad(size, (padding,) * 4)
    span = 2 * dilation + 1
    reach = padded.unfold(2, span, stride).unfold(3, span, stride)[..., ::dilation, ::dilation]
    k = reach.mean((-1, -2))
    signs = F.pad(torch.copysign(torch.ones_like(A), A), (padding,) * 4)
    w_hat = torch.copysign(conv.weight.abs().mean((1, 2, 3), keepdim=True).expand_as(conv.weight), conv.weight)
    expected = F.conv2d(signs, w_hat, stride=stride, dilation=dilation) * k + conv.bias.view(-1, 1, 1)
    assert torch.allclose(out, expected, rtol=1e-10)


def test_with_the_map_the_codes_are_plain_signs_and_the_gradient_is_scaled_by_it() -> None:
    assert XNOR(SPATIAL, "act", 4, 1).encode(A).scale.tolist() == [1.0]
    layer = QConv2d.from_float(nn.Conv2d(4, 1, 1, bias=False).double(), None, SPATIAL)
    a = A.clone().requires_grad_()
    layer(a).sum().backward()
    k = A.abs().mean(1, keepdim=True)
    assert torch.allclose(a.grad, torch.where(A.abs() <= 1, k * layer.weight.detach(), 0.0))


def test_groups_see_their_own_channels() -> None:
    grouped = QConv2d.from_float(nn.Conv2d(4, 6, 3, padding=1, groups=2, bias=False).double(), WEIGHT, SPATIAL)
    halves = []
    for half in range(2):
        layer = QConv2d.from_float(nn.Conv2d(2, 3, 3, padding=1, bias=False).double(), WEIGHT, SPATIAL)
        layer.weight.data = grouped.weight.data[3 * half : 3 * half + 3]
        halves.append(layer(A[:, 2 * half : 2 * half + 2]))
    assert torch.allclose(grouped(A), torch.cat(halves, 1), rtol=1e-10)


def test_a_linear_layer_needs_no_map() -> None:
    layer = QLinear.from_float(nn.Linear(3, 2), WEIGHT, SPATIAL)
    x = torch.randn(4, 3)
    assert torch.equal(layer(x), F.linear(layer.act_quant(x), layer.weight_quant(layer.weight), layer.bias))
