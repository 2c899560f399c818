"""Which parts of a network are packed, and the layers that the format has no words for."""

from __future__ import annotations

import pytest
from torch import nn

from qsr.errors import OptionsError
from qsr.export.layers import packed_layers, plain_tensors
from qsr.quant import LSQ, quantize_, rules
from qsr.quant.base import Quantizer
from qsr.spec import QuantRule, QuantSpec


def test_entries_follow_the_specs(trained) -> None:
    network, _ = trained("swinir", {"w_bits": 2, "a_bits": 8, "quant_matmul": True})
    entries = {entry.name: entry for entry, _, _ in packed_layers(network)}
    qkv = entries["layers.0.residual_group.blocks.0.attn.qkv"]
    assert (qkv.kind, qkv.shape, qkv.stride, qkv.w_bits, qkv.a_bits, qkv.a_signed) == ("linear", (18, 6), None, 2, 8, True)
    conv = entries["layers.0.conv"]
    assert (conv.kind, conv.shape, conv.stride, conv.padding) == ("conv", (6, 6, 3, 3), 1, 1)
    attention = entries["layers.0.residual_group.blocks.0.attn.attn_quant"]
    assert (attention.kind, attention.shape, attention.w_bits) == ("operand", (), 32)
    assert (attention.a_bits, attention.a_signed) == (8, False)


def test_every_number_of_the_state_is_somewhere(trained) -> None:
    network, _ = trained("srresnet", {}, (2, 1))
    plain = plain_tensors(network)
    quantized = {entry.name for entry, _, _ in packed_layers(network)}
    for name in network.state_dict():
        layer, _, leaf = name.rpartition(".")
        owner = layer.removesuffix(".act_quant").removesuffix(".weight_quant")
        assert (name in plain) != (owner in quantized and leaf != "bias"), name


def test_a_layer_used_twice_is_packed_once() -> None:
    shared = nn.Conv2d(4, 4, 3, padding=1)
    network = nn.Sequential(shared, nn.ReLU(), shared, nn.Conv2d(4, 4, 1))
    quantize_(network, rules(LSQ(4, 4), keep=["3"]))
    assert [entry.name for entry, _, _ in packed_layers(network)] == ["0"]
    assert sorted(plain_tensors(network)) == ["0.bias", "3.bias", "3.weight"]


@pytest.mark.parametrize(
    "settings",
    [{"groups": 2}, {"dilation": 2}, {"padding_mode": "reflect", "padding": 1}, {"stride": (1, 2)}, {"padding": "same"}],
)
def test_convolutions_outside_the_format(settings) -> None:
    network = nn.Sequential(nn.Conv2d(4, 4, 3, **settings), nn.ReLU())
    quantize_(network, rules(LSQ(4, 4)))
    with pytest.raises(OptionsError, match=r"layer 0: a convolution with .* cannot be packed"):
        list(packed_layers(network))


def test_quantizers_outside_the_format(trained) -> None:
    network, _ = trained("srresnet", {})
    network.body[0].conv1.act_quant = Quantizer(QuantSpec("strange", 4), "act")
    with pytest.raises(OptionsError, match=r"layer body\.0\.conv1: quantizer 'strange' cannot be packed yet"):
        list(packed_layers(network))


@pytest.mark.parametrize("method", ["pams", "cadyq", "lsq_plus"])
def test_methods_outside_the_format(method: str) -> None:
    network = nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU())
    quantize_(network, [QuantRule("0", QuantSpec(method, 4), QuantSpec(method, 4))])
    with pytest.raises(OptionsError, match=f"layer 0: quantizer '{method}' cannot be packed yet"):
        list(packed_layers(network))
