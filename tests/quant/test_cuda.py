"""The torch operations on a GPU give the CPU's codes, and a step never waits for the GPU."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import qsr
from qsr.quant.base import create
from qsr.spec import QuantSpec

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.mark.parametrize("method", ["rlq", "lsq"])
def test_codes_equal_the_cpus(method: str) -> None:
    quantizer = create(QuantSpec(method, 4), "act", 8, 1)
    x = torch.randn(4, 8, 16, 16)
    quantizer(x)
    expected = quantizer.encode(x).q
    assert torch.equal(quantizer.cuda().encode(x.cuda()).q.cpu(), expected)


def test_gradients_equal_the_cpus() -> None:
    layer = nn.Sequential(nn.Conv2d(8, 8, 1))
    qsr.quantize_(layer, qsr.rules(qsr.RLQ(2, 2)))
    x = torch.randn(4, 8, 16, 16)
    layer(x).square().mean().backward()
    expected = {name: p.grad.clone() for name, p in layer.named_parameters()}
    layer.cuda().zero_grad()
    layer(x.cuda()).square().mean().backward()
    for name, parameter in layer.named_parameters():
        assert torch.allclose(parameter.grad.cpu(), expected[name], rtol=1e-3, atol=1e-5), name


def test_an_initialised_step_does_not_synchronise() -> None:
    layer = nn.Sequential(nn.Conv2d(8, 8, 1))
    qsr.quantize_(layer, qsr.rules(qsr.RLQ(2, 2)))
    layer.cuda()
    x = torch.randn(4, 8, 16, 16, device="cuda")
    qsr.calibrate(layer, [x])
    layer(x).sum().backward()
    torch.cuda.set_sync_debug_mode("error")
    try:
        layer(x).sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
