"""What `pack` puts into a file, and that the file is exactly as large as its bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from qsr.errors import FormatError, OptionsError
from qsr.export.packed import pack, to_bytes, write_packed
from qsr.export.unpack import parse_packed, read_packed, to_network
from qsr.quant import QConv2d

CASES = {
    "rlq w2a2": ("srresnet", {"w_bits": 2, "a_bits": 2}, ()),
    "rlq w8a8": ("srresnet", {"w_bits": 8, "a_bits": 8}, ()),
    "every width, one per layer": (
        "srresnet",
        {
            "rules": [
                {"match": "body.0.conv1", "w_bits": 2, "a_bits": 8},
                {"match": "body.0.conv2", "w_bits": 3, "a_bits": 7},
                {"match": "body.1.conv1", "w_bits": 5, "a_bits": 6},
                {"match": "body.1.conv2", "w_bits": 6, "a_bits": 5},
                {"match": "conv_after_body", "w_bits": 7, "a_bits": 3},
            ]
        },
        (),
    ),
    "lsq per channel, msr": ("msr", {"method": "lsq", "w_bits": 3, "w_granularity": "channel"}, ()),
    "narrow levels, no shift": ("srresnet", {"symmetric_narrow": True, "shift": False}, ()),
    "weights only": ("srresnet", {"a_bits": 32}, ()),
    "activations only": ("srresnet", {"w_bits": 32}, ()),
    "a layer skipped": ("srresnet", {"skip": ["body.1.*"]}, ()),
    "full precision": ("msr", None, ()),
    "three depths": ("srresnet", {"w_bits": 2, "a_bits": 4}, (4, 2, 1)),
    "swinir rlq": ("swinir", {"w_bits": 4, "a_bits": 4}, ()),
    "swinir lsq, products too": ("swinir", {"method": "lsq", "w_bits": 2, "a_bits": 8, "quant_matmul": True}, ()),
    "swinir, two depths": ("swinir", {"w_granularity": "channel"}, (2, 1)),
}


@pytest.mark.parametrize("case", CASES)
def test_rebuilt_network_equals_trained_one_bit_for_bit(case: str, trained) -> None:
    network, info = trained(*CASES[case])
    tensors, header = pack(network, info)
    content = to_bytes(tensors, header)
    rebuilt = to_network(parse_packed(content))
    x = torch.rand(2, 3, 7, 9)
    with torch.no_grad():
        assert torch.equal(rebuilt(x), network(x))
    assert to_bytes(*pack(rebuilt, info)) == content
    assert to_bytes(*pack(network, info)) == content


@pytest.mark.parametrize("bits", range(2, 9))
def test_weights_in_the_file_are_the_fake_quantized_ones(bits: int, trained) -> None:
    network, info = trained(quant={"w_bits": bits, "w_granularity": "channel"})
    packed = parse_packed(to_bytes(*pack(network, info)))
    for layer in packed.header.layers:
        module = network.get_submodule(layer.name)
        assert isinstance(module, QConv2d)
        fake = module.weight_quant(module.weight).detach().numpy()
        np.testing.assert_array_equal(packed.weight(layer), fake, strict=True)
        assert len(np.unique(packed.codes[layer.name])) > 1
        assert packed.tensors[f"{layer.name}.weight.codes"].nbytes == -(-layer.count * bits // 8)


def test_one_depth(trained) -> None:
    network, info = trained("srresnet", {}, (4, 2))
    everything = to_bytes(*pack(network, info))
    tensors, header = pack(network, info, depth=2)
    assert len(to_bytes(tensors, header)) < len(everything)
    assert header.blocks is not None
    assert len(header.blocks) == 2
    assert not any(name.endswith("order") for name in tensors)
    assert to_bytes(*pack(network, info)) == everything, "pack changed the network"


def test_file_names_no_place_of_the_machine(trained, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "net.qsr"
    size = write_packed(path, *trained(quant={}))
    content = path.read_bytes()
    assert len(content) == size
    assert str(tmp_path).encode() not in content
    assert b"/home" not in content
    assert read_packed(path).header.protocol == "sr-y-crop2-uint8"


def test_network_and_options_that_disagree_are_refused(trained) -> None:
    network, _ = trained(quant={"a_bits": 4})
    _, other = trained(quant={"a_bits": 5})
    with pytest.raises(FormatError, match="a_bits 4 instead of 5"):
        pack(network, other)


def test_uncalibrated_and_not_finite_are_refused(trained) -> None:
    network, info = trained(quant={})
    network.conv_last.bias.data[0] = torch.nan
    with pytest.raises(FormatError, match=r"conv_last\.bias: holds NaN"):
        pack(network, info)
    network.conv_last.bias.data[0] = 0
    network.body[0].conv1.act_quant.initialised.fill_(False)
    with pytest.raises(OptionsError, match="no step size yet"):
        pack(network, info)


def test_half_precision_and_basicsr_networks_are_refused(trained) -> None:
    network, info = trained(quant={})
    with pytest.raises(FormatError, match=r"float64, expected float32"):
        pack(network.double(), info)
    info.options["network_g"] = {"type": "basicsr:EDSR", "path": "weights.pth"}
    with pytest.raises(OptionsError, match="basicsr:EDSR cannot be packed"):
        pack(network.float(), info)
