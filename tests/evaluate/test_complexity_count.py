"""Counts on real modules against formulas written out here."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from qsr.archs import depth
from qsr.archs.srresnet import EdsrLayout
from qsr.archs.swinir import SwinIR
from qsr.evaluate.complexity_count import OTHER_PRODUCTS, Stored, choose_depth, count, stored
from qsr.quant import RLQ, quantize_, rules
from qsr.spec import METHODS, QuantRule, QuantSpec


def by_name(network: nn.Module, height: int, width: int):
    return {module.name: module for module in count(network, height, width)}


def test_convolutions() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, stride=2),
        nn.Conv2d(8, 8, 5, padding=2, groups=4, bias=False),
        nn.ConvTranspose2d(8, 4, 2, stride=2),
    )
    found = by_name(network, 10, 6)
    assert (found["0"].macs, found["0"].bias_adds) == (5 * 3 * 8 * 27, 5 * 3 * 8)
    assert (found["1"].macs, found["1"].bias_adds) == (5 * 3 * 8 * 2 * 25, 0)
    assert (found["2"].macs, found["2"].bias_adds) == (5 * 3 * 8 * 4 * 4, 10 * 6 * 4)
    assert (found["2"].weights, found["2"].biases) == (8 * 4 * 4, 4)


def test_a_layer_used_twice_counts_twice_but_is_stored_once() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(self.conv(x))

    conv = by_name(Twice(), 4, 5)["conv"]
    assert (conv.macs, conv.weights) == (2 * 20 * 9, 9)


def test_products_outside_layers_are_seen() -> None:
    class Gram(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            flat = x.flatten(2)
            return flat @ flat.transpose(1, 2)

    assert by_name(Gram(), 4, 5)[OTHER_PRODUCTS].macs == 3 * 3 * 20


def test_window_attention_is_all_there_is_besides_layers() -> None:
    """torch's own counter agrees with ours: nothing of SwinIR is missed and nothing counted twice."""
    network = SwinIR(num_stls=(2,), num_heads=(2,), embed_dim=8, window_size=4)
    found = by_name(network, 9, 6)  # padded to 12 x 8: 6 windows
    assert OTHER_PRODUCTS not in found
    attention = found["layers.0.residual_group.blocks.1.attn"]
    assert attention.macs == 2 * 6 * 16 * 16 * 8
    assert attention.others == 49 * 2
    assert found["norm"].norm_elements == 12 * 8 * 8


@pytest.mark.parametrize("blocks", [4, 2, 1])
def test_only_active_blocks_are_counted(blocks: int) -> None:
    network = EdsrLayout(num_feat=4, num_block=4, depths=(4, 2, 1))
    choose_depth(network, blocks)
    modules = count(network, 4, 4)
    assert sum(module.name.endswith("conv1") for module in modules) == blocks
    assert sum(module.others for module in modules) == 4  # every shortcut scalar, skipped or not


def test_choose_depth_takes_the_given_order() -> None:
    network = EdsrLayout(num_feat=4, num_block=3, depths=(3, 1))
    choose_depth(network, 1, [2, 0, 1])
    assert depth.find_stack(network).active == (2,)


def test_stored_values_of_quantizers() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 3, 3))
    quantize_(network, rules(RLQ(w_bits=4, a_bits=4), keep=["0"]))
    assert stored(network) == {"1": Stored(1 + 1 + 8, 1)}


@pytest.mark.parametrize(
    ("method", "values", "planes"),
    [("srb", 2 * 3 + 8, 2), ("bireal", 3, 1), ("xnorpp", 3, 1), ("bnn", 1, 1), ("fda", 3, 1)],
)
def test_scales_and_planes_of_one_bit_layers(method: str, values: int, planes: int) -> None:
    """Computed scales are stored like learned ones; what serves training only is not."""
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 3, 3))
    weight = QuantSpec(method, 1, METHODS[method].w_granularity)
    quantize_(network, [QuantRule("1", weight, QuantSpec(method, 1))])
    assert stored(network) == {"1": Stored(values, planes)}
