"""Convolutions with what follows them folded in, and the fallback where codes cannot hold that."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from qsr.errors import OptionsError
from qsr.export.builder import Builder, Shared
from qsr.export.layers import conv, depthwise, linear
from qsr.quant import QConv2d, QLinear
from qsr.runtime.interpreter import Interpreter
from qsr.runtime.packed.ops import Affine, Conv, PackedHeader
from qsr.spec import QuantSpec

RLQ = QuantSpec("rlq", 4)


def builder() -> Builder:
    return Builder(Shared(half=lambda name: False))


def layer_of(weight: QuantSpec | None, act: QuantSpec | None, kernel: int = 3) -> nn.Conv2d:
    torch.manual_seed(2)
    plain = nn.Conv2d(3, 3, kernel, padding=kernel // 2)
    if weight is None and act is None:
        return plain
    layer = QConv2d.from_float(plain, weight, act).train()
    layer(torch.rand(1, 3, 8, 8))
    return layer.eval()


def run(b: Builder, picture: np.ndarray) -> np.ndarray:
    header = PackedHeader(1, (b.program(None),), 1, 1, False, {}, None, {}, {})
    return Interpreter(header, b.shared.tensors, header.programs[0]).run(picture)


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize(("weight", "act"), [(None, None), (RLQ, RLQ), (RLQ, None), (None, RLQ), (QuantSpec("srb", 1), RLQ)])
def test_factor_offset_and_gain(weight, act, kernel: int) -> None:
    layer, b = layer_of(weight, act, kernel), builder()
    factor, offset = torch.tensor([0.5, 2.0, 3.0]), torch.tensor([0.1, -1.0, 2.0])
    conv(b, 0, "conv", layer, factor, offset, gain=0.7)
    picture = np.random.default_rng(0).random((6, 5, 3), np.float32)
    with torch.no_grad():
        y = layer(0.7 * torch.from_numpy(picture).permute(2, 0, 1)[None]) * factor.view(-1, 1, 1) + offset.view(-1, 1, 1)
    np.testing.assert_allclose(run(b, picture), y[0].permute(1, 2, 0).numpy(), atol=2e-6)
    # in front of a quantizer the gain stays an operation: its step and its bits are what training left
    assert [type(op) for op in b.ops[1:]] == ([Conv] if act is None else [Affine, Conv])


def test_what_codes_cannot_hold_is_an_operation_behind() -> None:
    layer = layer_of(QuantSpec("rlq", 2), None)
    with torch.no_grad():
        layer.weight[0, 0, 0, 0] = -10
    assert layer.weight_quant.encode(layer.weight).q.min() == -2
    b = builder()
    conv(b, 0, "conv", layer, -1.5, 0.25)
    assert [type(op) for op in b.ops[1:]] == [Conv, Affine]
    assert b.ops[2] == Affine((1,), -1.5, 0.25)
    picture = np.random.default_rng(0).random((6, 5, 3), np.float32)
    with torch.no_grad():
        y = layer(torch.from_numpy(picture).permute(2, 0, 1)[None]) * -1.5 + 0.25
    np.testing.assert_allclose(run(b, picture), y[0].permute(1, 2, 0).numpy(), atol=2e-6)


@pytest.mark.parametrize("kernel", [(3, 3), (1, 5)])
@pytest.mark.parametrize("bias", [True, False])
def test_depthwise(kernel: tuple[int, int], bias: bool) -> None:
    layer, b = nn.Conv2d(3, 3, kernel, padding=(kernel[0] // 2, kernel[1] // 2), groups=3, bias=bias), builder()
    depthwise(b, 0, "dw", layer)
    picture = np.random.default_rng(0).random((6, 5, 3), np.float32)
    with torch.no_grad():
        y = layer(torch.from_numpy(picture).permute(2, 0, 1)[None])
    np.testing.assert_allclose(run(b, picture), y[0].permute(1, 2, 0).numpy(), atol=2e-6)
    assert b.shared.tensors["dw.weight"].shape == (3, *kernel)


def test_a_quantized_depthwise_convolution_is_refused() -> None:
    layer = QConv2d.from_float(nn.Conv2d(3, 3, 3, padding=1, groups=3), RLQ, RLQ)
    with pytest.raises(OptionsError, match="layer dw: a depthwise convolution is packed in full precision only"):
        depthwise(builder(), 0, "dw", layer)


@pytest.mark.parametrize("settings", [{"groups": 1}, {"groups": 2}, {"stride": 2, "groups": 4}, {"padding": 0, "groups": 4}])
def test_other_depthwise_convolutions_are_refused(settings) -> None:
    with pytest.raises(OptionsError, match="cannot be packed"):
        depthwise(builder(), 0, "dw", nn.Conv2d(4, 4, 3, **({"padding": 1} | settings)))


def test_without_a_bias() -> None:
    b = builder()
    conv(b, 0, "conv", nn.Conv2d(3, 4, 3, padding=1, bias=False))
    assert isinstance(b.ops[1], Conv)
    assert b.ops[1].bias == 0.0


@pytest.mark.parametrize(
    "settings",
    [{"stride": 2}, {"padding": 0}, {"dilation": 2}, {"groups": 3}, {"padding_mode": "reflect"}, {"kernel_size": 2}],
)
def test_other_convolutions_are_refused(settings) -> None:
    layer = nn.Conv2d(3, 3, **{"kernel_size": 3, "padding": 1} | settings)
    with pytest.raises(OptionsError, match=r"^layer body\.0: a convolution such as Conv2d"):
        conv(builder(), 0, "body.0", layer)


def test_linear_layers() -> None:
    torch.manual_seed(3)
    layer = QLinear.from_float(nn.Linear(5, 4), QuantSpec("rlq", 2), RLQ).train()
    layer(torch.randn(6, 5))
    shared = Shared(half=lambda name: False)
    found = linear(shared, "fc", layer.eval(), 0.5)
    np.testing.assert_allclose(shared.tensors["fc.bias"], 0.5 * layer.bias.detach().numpy())
    assert (found.c_in, found.c_out, found.act.bits) == (5, 4, 4)
    with torch.no_grad():
        layer.weight[0, 0] = -10
    with pytest.raises(OptionsError, match="layer fc: codes of -1 times the weight cannot be packed"):
        linear(Shared(half=lambda name: False), "fc", layer, -1.0)
