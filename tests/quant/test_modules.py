"""Quantized layers: torch's layers on quantized operands, with torch's names."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from qsr.quant.modules import QConv2d, QLinear, initial_weights, quantizers
from qsr.spec import QuantSpec

RLQ2 = QuantSpec("rlq", 2)


def test_conv_is_torchs_conv_of_the_quantized_operands_padded_afterwards() -> None:
    conv = nn.Conv2d(4, 6, 3, stride=2, padding=1, dilation=1, groups=2)
    layer = QConv2d.from_float(conv, RLQ2, RLQ2)
    x = torch.randn(2, 4, 7, 7)
    layer(x)
    with torch.no_grad():
        layer.act_quant.shift.fill_(3.0)  # were padding first, the border would be quantized to round(3 / v)
    x_hat, w_hat = layer.act_quant(x), layer.weight_quant(conv.weight)
    assert torch.equal(layer(x), F.conv2d(x_hat, w_hat, conv.bias, stride=2, padding=1, groups=2))


def test_linear_takes_any_leading_shape() -> None:
    linear = nn.Linear(5, 3, bias=False)
    layer = QLinear.from_float(linear, RLQ2, RLQ2)
    for shape in ((5,), (2, 5), (2, 4, 5), (2, 3, 4, 5)):
        assert layer(torch.randn(shape)).shape == (*shape[:-1], 3)


@pytest.mark.parametrize(("weight", "act"), [(None, RLQ2), (RLQ2, None)])
def test_one_side_may_stay_in_full_precision(weight: QuantSpec | None, act: QuantSpec | None) -> None:
    for layer, x in (
        (QConv2d.from_float(nn.Conv2d(2, 2, 1), weight, act), torch.randn(1, 2, 3, 3)),
        (QLinear.from_float(nn.Linear(2, 2), weight, act), torch.randn(3, 2)),
    ):
        layer(x)
        assert [name for name, _ in quantizers(layer)] == (["act_quant"] if act else ["weight_quant"])


def test_parameters_are_shared_and_keep_their_names() -> None:
    conv = nn.Conv2d(2, 3, 3).eval()
    layer = QConv2d.from_float(conv, RLQ2, RLQ2)
    assert layer.weight is conv.weight
    assert layer.bias is conv.bias
    assert not layer.act_quant.training
    assert set(conv.state_dict()) < set(layer.state_dict())


def test_an_unbatched_picture_is_taken() -> None:
    layer = QConv2d.from_float(nn.Conv2d(2, 3, 3), RLQ2, RLQ2)
    x = torch.randn(2, 5, 5)
    assert torch.equal(layer(x), layer(x[None])[0])


def test_reflecting_padding_is_kept() -> None:
    torch.manual_seed(0)  # the bound holds for most weights, not for all
    conv = nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect")
    layer = QConv2d.from_float(conv, QuantSpec("lsq", 8), QuantSpec("lsq", 8))
    x = torch.rand(1, 1, 6, 6)
    assert (layer(x) - conv(x)).abs().max() < 0.05


def test_every_parameter_gets_a_gradient() -> None:
    layer = QConv2d.from_float(nn.Conv2d(3, 4, 3, padding=1), RLQ2, RLQ2)
    layer(torch.randn(2, 3, 6, 6)).square().sum().backward()
    assert sorted(name for name, p in layer.named_parameters() if p.grad is not None and p.grad.any()) == [
        "act_quant.shift",
        "act_quant.step",
        "bias",
        "weight",
        "weight_quant.step",
    ]


def test_copies_and_state_dicts_give_the_same_output() -> None:
    layer = QConv2d.from_float(nn.Conv2d(3, 4, 3), RLQ2, RLQ2)
    x = torch.randn(2, 3, 6, 6)
    layer(x)
    twin = copy.deepcopy(layer).eval()
    fresh = QConv2d.from_float(nn.Conv2d(3, 4, 3), RLQ2, RLQ2).eval()
    fresh.load_state_dict(layer.state_dict(), strict=True)
    assert torch.equal(twin(x), layer(x))
    assert torch.equal(fresh(x), layer(x))


def test_under_bf16_autocast_the_quantizer_stays_float32() -> None:
    layer = QConv2d.from_float(nn.Conv2d(3, 4, 3), RLQ2, RLQ2)
    x = torch.randn(2, 3, 6, 6)
    exact = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(x)
        assert layer.act_quant(x).dtype == torch.float32
    assert out.dtype == torch.bfloat16
    assert torch.allclose(out.float(), exact, rtol=2e-2, atol=2e-2)
    out.float().sum().backward()
    assert layer.act_quant.step.grad.dtype == torch.float32


def test_channels_last_in_channels_last_out() -> None:
    layer = QConv2d.from_float(nn.Conv2d(8, 8, 3), RLQ2, RLQ2).to(memory_format=torch.channels_last)
    x = torch.randn(2, 8, 6, 6).contiguous(memory_format=torch.channels_last)
    out = layer(x)
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(out, layer(x.contiguous()), atol=1e-5)


def test_initial_weights_needs_no_forward_pass() -> None:
    network = nn.Sequential(QLinear.from_float(nn.Linear(2, 2), RLQ2, RLQ2))
    initial_weights(network)
    assert network[0].weight_quant.initialised
    assert not network[0].act_quant.initialised


def test_compiled_equals_eager() -> None:
    layer = QConv2d.from_float(nn.Conv2d(3, 4, 3), RLQ2, RLQ2)
    x = torch.randn(2, 3, 6, 6)
    expected = layer(x)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    assert torch.allclose(compiled(x), expected, atol=1e-5)
    gradients = [torch.autograd.grad(run(x).square().sum(), list(layer.parameters())) for run in (layer, compiled)]
    for eager, traced in zip(*gradients, strict=True):
        assert torch.allclose(eager, traced, rtol=1e-4, atol=1e-5)
