from __future__ import annotations

import copy

import pytest
import torch

from qsr import archs
from qsr.ptq.modes import full_precision, layers, replaced
from qsr.quant import calibrate, quantizers


def test_full_precision_is_the_network_before_it_was_quantized(quantized) -> None:
    network, options = quantized(2, 2)
    torch.manual_seed(0)
    base = archs.build_base(options).eval()
    x = torch.rand(1, 3, 8, 8)
    calibrate(network, [x])
    low = network(x)
    with full_precision(network):
        torch.testing.assert_close(network(x), base(x))
    assert torch.equal(network(x), low)
    assert not torch.allclose(low, base(x))


def test_but_leaves_one_layer_quantized(quantized) -> None:
    network, _ = quantized(2, 2)
    x = torch.rand(1, 3, 8, 8)
    calibrate(network, [x])
    outputs = []
    for name in ("body.0.conv1", "body.1.conv2"):
        with full_precision(network, but=layers(network)[name]):
            outputs.append(network(x))
    with full_precision(network):
        exact = network(x)
    assert not torch.equal(outputs[0], outputs[1])
    assert all(not torch.equal(output, exact) for output in outputs)


def test_quantizers_come_back_after_an_error(quantized) -> None:
    network, _ = quantized()
    before = copy.deepcopy(network.state_dict())
    found = {quantizer: torch.zeros_like for _, quantizer in quantizers(network)}
    with pytest.raises(RuntimeError, match="stop"), replaced(found):
        raise RuntimeError("stop")
    assert all("forward" not in vars(quantizer) for quantizer in found)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_layers_are_named_in_order(quantized) -> None:
    network, _ = quantized()
    assert list(layers(network)) == ["body.0.conv1", "body.0.conv2", "body.1.conv1", "body.1.conv2", "conv_after_body"]
