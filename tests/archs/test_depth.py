"""Nested sub-networks: which blocks run, what they compute, how the order is ranked and kept."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from qsr.archs import depth
from qsr.archs.depth import DepthStack
from qsr.errors import FormatError, OptionsError


class Add(nn.Module):
    """shortcut * x + amount: its effect is easy to follow."""

    def __init__(self, amount: float, shortcut: float = 1.0) -> None:
        super().__init__()
        self.amount = amount
        self.shortcut = nn.Parameter(torch.tensor(shortcut))

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut * x + self.amount


def stack(shortcuts: list[float], depths: tuple[int, ...]) -> DepthStack:
    return DepthStack([Add(10.0**i, s) for i, s in enumerate(shortcuts)], depths)


@given(st.lists(st.floats(-2, 2, width=32), min_size=4, max_size=12))
def test_sub_networks_are_nested_and_exact(shortcuts: list[float]) -> None:
    depths = (len(shortcuts), len(shortcuts) // 2, len(shortcuts) // 4)
    network = stack(shortcuts, depths)
    depth.freeze_order(network)
    kept = []
    for n in depths:
        depth.set_depth(network, n)
        assert len(network.active) == n
        kept.append(set(network.active))
    assert kept[2] <= kept[1] <= kept[0]


def test_supernet_of_32_keeps_16_and_8() -> None:
    network = stack([1.0] * 32, (32, 16, 8))
    depth.freeze_order(network)
    for n in (32, 16, 8):
        depth.set_depth(network, n)
        assert len(network.active) == n


def test_small_shortcuts_are_kept() -> None:
    network = stack([0.9, -0.1, 0.5, -1.2], (4, 2))
    depth.freeze_order(network)
    assert network.order.tolist() == [1, 2, 0, 3]


def test_equal_importance_keeps_the_earlier_block() -> None:
    network = stack([1.0] * 4, (4, 2))
    depth.freeze_order(network)
    assert network.order.tolist() == [0, 1, 2, 3]


def test_skipped_blocks_multiply_by_their_shortcut() -> None:
    network = stack([2.0, 0.5, 3.0, 5.0, 0.25], (5, 2))
    depth.freeze_order(network)
    depth.set_depth(network, 2)
    assert network.active == (1, 4)
    x = torch.tensor([7.0])
    expected = 0.25 * (5.0 * 3.0 * (0.5 * (2.0 * x) + 10)) + 10_000
    torch.testing.assert_close(network(x), expected)


def test_trailing_and_leading_skips() -> None:
    network = stack([3.0, 0.5, 5.0], (3, 1))
    depth.freeze_order(network)
    depth.set_depth(network, 1)
    torch.testing.assert_close(network(torch.tensor([7.0])), torch.tensor([5.0 * (0.5 * 21 + 10)]))


def test_skipped_shortcuts_get_gradients() -> None:
    network = stack([2.0, 0.5, 3.0], (3, 1))
    depth.freeze_order(network)
    depth.set_depth(network, 1)
    network(torch.tensor([7.0])).sum().backward()
    assert all(block.shortcut.grad is not None for block in network)


def test_branch_ratio_ranks_by_the_branch() -> None:
    class Scale(nn.Module):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.factor = factor
            self.shortcut = nn.Parameter(torch.tensor(1.0))

        def forward(self, x: Tensor) -> Tensor:
            return self.shortcut * x + self.factor * x

    network = DepthStack([Scale(f) for f in (0.1, -0.9, 0.5, 0.3)], (4, 2)).train()
    depth.freeze_order(network, "branch_ratio", torch.rand(2, 3, 4, 4))
    assert network.order.tolist() == [1, 2, 3, 0]
    assert network.training
    assert not any(block._forward_hooks for block in network)


def test_branch_ratio_without_batch() -> None:
    with pytest.raises(ValueError, match="batch"):
        depth.freeze_order(stack([1.0, 1.0], (2, 1)), "branch_ratio")


def test_order_travels_in_the_state_dict() -> None:
    trained, fresh = stack([3.0, 0.5, 5.0, 1.0], (4, 2)), stack([1.0] * 4, (4, 2))
    depth.freeze_order(trained)
    assert not depth.order_frozen(fresh)
    fresh.load_state_dict(trained.state_dict())
    assert depth.order_frozen(fresh)
    depth.set_depth(fresh, 2)
    assert fresh.active == (1, 3)


def test_order_written_behind_the_stacks_back_is_seen() -> None:
    """An EMA or a checkpoint copies into the buffer; the order read before must not be used any more."""
    network = stack([3.0, 0.5, 5.0, 1.0], (4, 2))
    depth.freeze_order(network)
    depth.set_depth(network, 2)
    with torch.no_grad():
        network.order.copy_(torch.tensor([3, 2, 1, 0]))
    depth.set_depth(network, 2)
    assert network.active == (2, 3)


def test_copies_are_independent() -> None:
    network = stack([3.0, 0.5, 5.0, 1.0], (4, 2))
    depth.freeze_order(network)
    twin = copy.deepcopy(network)
    depth.set_depth(twin, 2)
    assert len(network.active) == 4
    assert twin.active == (1, 3)


def test_sub_network_before_freezing_is_refused() -> None:
    network = stack([1.0] * 4, (4, 2))
    depth.set_depth(network, 4)
    with pytest.raises(OptionsError, match="order of blocks is not fixed yet"):
        depth.set_depth(network, 2)


def test_untrained_depth_is_refused() -> None:
    with pytest.raises(OptionsError, match=r"depth 3: .* 4, 2"):
        depth.set_depth(stack([1.0] * 4, (4, 2)), 3)


def test_fixed_depth() -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 1))
    assert depth.depths(network) == ()
    assert not depth.order_frozen(network)
    depth.set_depth(network, None)
    with pytest.raises(OptionsError, match="not depth-dynamic"):
        depth.set_depth(network, 8)
    with pytest.raises(OptionsError, match="not depth-dynamic"):
        depth.freeze_order(network)


def test_damaged_order_is_refused() -> None:
    network = stack([1.0] * 4, (4, 2))
    network.load_state_dict(network.state_dict() | {"order": torch.tensor([0, 1, 1, 3])})
    with pytest.raises(FormatError, match=r"each of 0\.\.3 once"):
        depth.set_depth(network, 2)


@pytest.mark.parametrize("depths", [(3, 2), (4, 2, 2), (4, 2, 3)])
def test_inconsistent_depths(depths: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="decreasing"):
        stack([1.0] * 4, depths)


def test_depths_of_a_network(make_options) -> None:
    from qsr import archs

    network = archs.build(make_options(depths=(4, 2, 1)))
    assert depth.depths(network) == (4, 2, 1)
    depth.freeze_order(network)
    x = torch.rand(1, 3, 5, 5)
    outputs = []
    for n in (4, 2, 1):
        depth.set_depth(network, n)
        outputs.append(network(x))
    assert not torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[1], outputs[2])
    depth.set_depth(network, None)
    assert torch.equal(network(x), outputs[0])
