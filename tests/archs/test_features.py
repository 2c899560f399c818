"""Where distillation looks: the outputs of blocks and of the body, in every network that qsr builds."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from qsr import archs


def output_of(module: nn.Module, network: nn.Module, x: Tensor) -> Tensor:
    seen: list[Tensor] = []
    hook = module.register_forward_hook(lambda module, inputs, output: seen.append(output))
    network(x)
    hook.remove()
    return seen[0]


@pytest.mark.parametrize(
    ("network", "names"),
    [
        ("srresnet", ["body.0", "body.1"]),
        ({"type": "MSRResNet", "num_feat": 4, "num_block": 2, "block": "unit"}, ["body.0", "body.1"]),
        ("swinir", ["layers.0", "layers.1"]),
        ({"type": "Mixer", "num_feat": 4, "num_block": 2}, ["body.0", "body.1"]),
    ],
    ids=["edsr", "msr", "swinir", "mixer"],
)
def test_blocks_in_order_under_their_names(make_options, network, names: list[str]) -> None:
    built = archs.build(make_options(network))
    found = archs.block_outputs(built)
    assert [name for name, _ in found] == names
    assert all(built.get_submodule(name) is module for name, module in found)


def test_blocks_of_a_supernet(make_options) -> None:
    assert len(archs.block_outputs(archs.build(make_options(depths=(4, 2))))) == 4


@pytest.mark.parametrize(("network", "tail"), [("srresnet", "upsample"), ("swinir", "upsample")])
def test_body_output_is_what_the_tail_gets(make_options, network: str, tail: str) -> None:
    built, x = archs.build(make_options(network)), torch.rand(1, 3, 8, 8)
    got: list[Tensor] = []
    built.get_submodule(tail).register_forward_pre_hook(lambda module, inputs: got.append(inputs[0]))
    assert torch.equal(output_of(archs.body_output(built), built, x), got[0])


@pytest.mark.parametrize("kind", ["MSRResNet", "Mixer"])
def test_body_output_where_no_skip_goes_around_the_body(make_options, kind: str) -> None:
    built = archs.build(make_options({"type": kind, "num_feat": 4, "num_block": 1}))
    assert archs.body_output(built) is built.body


def test_foreign_networks_have_none() -> None:
    foreign = nn.Sequential(nn.Conv2d(3, 3, 3))
    assert archs.block_outputs(foreign) == []
    assert archs.body_output(foreign) is None
