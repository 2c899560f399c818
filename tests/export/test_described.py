"""The network that a header describes: built without memory first, and compared before it is built for real."""

from __future__ import annotations

import json
import re

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from qsr import archs
from qsr.export.described import _shapes_only, check_described, described_network
from qsr.export.header import parse_header
from qsr.export.packed import pack
from qsr.options import from_json


def test_described_network_has_the_trained_one_s_tensors(trained) -> None:
    network, info = trained("swinir", {"quant_matmul": True}, (2, 1))
    described = described_network(pack(network, info)[1])
    expected = {name: value.shape for name, value in network.state_dict().items()}
    assert {name: value.shape for name, value in described.state_dict().items()} == expected


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"num_feat": 10**9}, "of another shape|overflow"),
        ({"num_feat": 10**18}, "network: "),
        ({"num_block": 3}, "body.2.conv"),
        ({"num_block": 1}, "body.1.conv"),
        ({"type": "MSRResNet"}, "conv_after_body"),
    ],
)
def test_hostile_or_other_networks_cost_nothing(section, said: str, parts, refused) -> None:
    plain = json.loads(parts[1].to_text())
    plain["network"]["network_g"] |= section
    assert re.search(said, refused(parts[0], plain))


def test_nonsense_heads_are_a_format_error(trained, refused) -> None:
    tensors, header = pack(*trained("swinir", {}))
    plain = json.loads(header.to_text())
    plain["network"]["network_g"]["num_heads"] = [100, 100]
    assert "network: " in refused(tensors, plain)


def test_receptive_field_is_that_of_the_depth_in_the_file(trained) -> None:
    network, info = trained("srresnet", {}, (4, 2))
    assert pack(network, info)[1].receptive_field == 12
    tensors, header = pack(network, info, depth=2)
    assert header.receptive_field == 8
    assert check_described(parse_header(header.to_text(), "x"), tensors) == 8


def test_shapes_need_no_compiler() -> None:
    """On the meta device a draw or a difference of indices imports torch's compiler, which takes seconds."""
    ran: set[str] = set()

    class Record(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            result = func(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor) and result.is_meta:
                ran.add(func.overloadpacket.__name__)
            return result

    with Record(), _shapes_only():
        for kind in ("SwinIR", "MSRResNet"):
            built = archs.build(from_json({"name": "n", "scale": 2, "network_g": {"type": kind}}))
            assert all(parameter.is_meta for parameter in built.parameters())
    assert "empty" in ran
    assert not ran & {"normal_", "sub", "add", "arange"}


def test_normal_draws_are_left_out_only_inside() -> None:
    assert torch.empty(100).normal_().std() > 0
