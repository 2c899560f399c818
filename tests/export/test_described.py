"""The network that a header describes: built without memory first, and compared before it is built for real."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

from qsr.export.described import check_described, described_network
from qsr.export.header import parse_header
from qsr.export.packed import pack


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
    import re

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
    """Describing SwinIR and MSRResNet must not import torch's compiler, which takes seconds."""
    code = (
        "import sys; from qsr.export.described import _shapes_only; from qsr.options import from_json; from qsr import archs\n"
        "with _shapes_only():\n"
        "    for kind in ('SwinIR', 'MSRResNet'):\n"
        "        built = archs.build(from_json({'name': 'n', 'scale': 2, 'network_g': {'type': kind}}))\n"
        "        assert all(p.is_meta for p in built.parameters())\n"
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_normal_draws_are_left_out_only_inside() -> None:
    assert torch.empty(100).normal_().std() > 0
