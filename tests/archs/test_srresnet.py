"""Exact sizes, shapes and reach of both layouts."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from qsr.archs.srresnet import BlockSettings, EdsrLayout, MsrLayout
from tests.archs.reach import assert_receptive_field

LAYOUTS = (EdsrLayout, MsrLayout)
# weights without biases, all parameters: algorithms 10
COUNTS = {2: (1_367_424, 1_369_859), 3: (1_551_744, 1_554_499), 4: (1_514_880, 1_517_571)}


@pytest.mark.parametrize("scale", COUNTS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_parameter_counts(layout: type[nn.Module], scale: int) -> None:
    network = layout(scale=scale)
    weights = sum(p.numel() for name, p in network.named_parameters() if name.endswith("weight"))
    everything = sum(p.numel() for p in network.parameters())
    assert (weights, everything) == COUNTS[scale]


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (7, 3)])
def test_any_size(layout: type[nn.Module], scale: int, size: tuple[int, int]) -> None:
    network = layout(num_feat=4, num_block=1, scale=scale)
    image = network(torch.rand(2, 3, *size))
    assert image.shape == (2, 3, scale * size[0], scale * size[1])
    assert torch.isfinite(image).all()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_other_channels(layout: type[nn.Module]) -> None:
    network = layout(num_in_ch=1, num_out_ch=1, num_feat=4, num_block=1, scale=2)
    assert network(torch.rand(1, 1, 4, 4)).shape == (1, 1, 8, 8)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_receptive_field_is_exact(layout: type[nn.Module], scale: int) -> None:
    assert_receptive_field(layout(num_feat=2, num_block=1, scale=scale), scale)


def test_res_scale_and_shortcut() -> None:
    block = EdsrLayout(num_feat=4, num_block=2, res_scale=0.5, depths=(2, 1)).body[0]
    x = torch.randn(1, 4, 5, 5)
    branch = block.conv2(torch.relu(block.conv1(x)))
    with torch.no_grad():
        block.shortcut.fill_(0.25)
    torch.testing.assert_close(block(x), 0.25 * x + 0.5 * branch)


def test_fixed_depth_has_no_shortcut() -> None:
    assert not [name for name, _ in EdsrLayout(num_feat=4, num_block=1).named_parameters() if "shortcut" in name]


def test_channels_last_is_kept() -> None:
    network = EdsrLayout(num_feat=4, num_block=1, scale=2).to(memory_format=torch.channels_last)
    x = torch.rand(2, 3, 6, 6)
    expected = network(x)
    image = network(x.to(memory_format=torch.channels_last))
    assert image.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(image, expected)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["unit", "e2fif"])
def test_other_blocks_reach_as_far_and_skip_as_well(layout: type[nn.Module], kind) -> None:
    network = layout(num_feat=4, num_block=3, depths=(3, 1), block=BlockSettings(kind)).eval()
    assert network.receptive_field == layout(num_feat=4, num_block=3).receptive_field
    x = torch.rand(1, 4, 5, 5)
    with torch.no_grad():
        network.body[1].shortcut.fill_(0.5)
        network.body.order.copy_(torch.tensor([0, 2, 1]))
    network.body.activate(1)
    expected = network.body[0](x) * network.body[1].shortcut * network.body[2].shortcut
    torch.testing.assert_close(network.body(x), expected)


def test_input_gain_is_the_network_of_the_scaled_input() -> None:
    """net(K x) / K, exactly so without biases; it matters once signs are taken of shifted features."""
    plain, gained = MsrLayout(num_feat=4, num_block=2, scale=2), MsrLayout(num_feat=4, num_block=2, scale=2, input_gain=130.0)
    gained.load_state_dict(plain.state_dict())
    x = torch.rand(1, 3, 6, 6)
    seen: list[torch.Tensor] = []
    gained.body.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    torch.testing.assert_close(gained(x), plain(130 * x) / 130)
    torch.testing.assert_close(seen[0], 130 * torch.nn.functional.leaky_relu(gained.conv_first(x), 0.1))
