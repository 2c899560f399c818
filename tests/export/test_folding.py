"""One depth on its own: the same bits as the supernet at that depth, for every pattern of skipped blocks."""

from __future__ import annotations

import copy
from itertools import combinations

import pytest
import torch

from qsr.archs.depth import find_stack, set_depth
from qsr.errors import FormatError, OptionsError
from qsr.export.folding import FoldedStack, fold, replace_stack
from qsr.export.packed import pack, to_bytes
from qsr.export.unpack import parse_packed, to_network


@pytest.mark.parametrize("kind", ["srresnet", "swinir"])
@pytest.mark.parametrize("kept", list(combinations(range(4), 2)))
def test_folded_equals_the_supernet_at_that_depth(kind: str, kept: tuple[int, ...], trained) -> None:
    network, info = trained(kind, {"rules": [{"match": "*.0.*", "w_bits": 8}]}, (4, 2, 1))
    stack = find_stack(network)
    ranking = [*kept, *(number for number in range(4) if number not in kept)]
    stack.order.copy_(torch.tensor(ranking))
    x = torch.rand(1, 3, 6, 6)
    set_depth(network, 2)
    with torch.no_grad():
        expected = network(x)
        packed = parse_packed(to_bytes(*pack(network, info, depth=2)))
        assert packed.header.blocks == kept
        assert torch.equal(to_network(packed)(x), expected)
        set_depth(network, None)
        assert not torch.equal(network(x), expected)


def test_gains_are_the_products_of_skipped_shortcuts(trained) -> None:
    network, _ = trained("srresnet", {}, (4, 1))
    stack = find_stack(network)
    stack.order.copy_(torch.tensor([2, 0, 1, 3]))
    s = [block.shortcut.item() for block in stack]
    assert fold(network, 1) == (2,)
    assert isinstance(network.body, FoldedStack)
    assert network.body.gain.tolist() == pytest.approx([s[0] * s[1], s[3]], rel=1e-6)
    assert [name for name, _ in network.body.named_children()] == ["2"]


def test_full_depth_on_its_own(trained) -> None:
    network, info = trained("srresnet", {}, (2, 1))
    tensors, header = pack(network, info, depth=2)
    assert header.blocks == (0, 1)
    assert tensors["body.gain"].tolist() == [1, 1, 1]


def test_depths_that_were_not_trained(trained) -> None:
    network, info = trained("srresnet", {}, (4, 2))
    with pytest.raises(OptionsError, match="trained for depths 4, 2"):
        pack(network, info, depth=3)
    with pytest.raises(OptionsError, match="not depth-dynamic"):
        pack(*trained("srresnet", {}), depth=2)


@pytest.mark.parametrize("kept", [(0,), (1, 0), (0, 0), (0, 4), (0, 1, 2)])
def test_blocks_that_no_export_writes(kept: tuple[int, ...], trained) -> None:
    network, _ = trained("srresnet", {}, (4, 2))
    with pytest.raises(FormatError, match="blocks: found"):
        replace_stack(copy.deepcopy(network), kept)
    with pytest.raises(FormatError, match="not depth-dynamic"):
        replace_stack(trained("srresnet", {})[0], (0,))
