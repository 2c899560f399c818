"""What the header tells people, and what it tells a tiler."""

from __future__ import annotations

import dataclasses

import pytest

from qsr.errors import OptionsError
from qsr.export.describe import described, provenance, receptive_field, sees_all
from qsr.export.lower import lower
from qsr.options import from_dict, from_json, options_hash


def test_network_in_plain_words(trained) -> None:
    network, info = trained("unit", {"method": "srb", "w_bits": 1, "a_bits": 1})
    assert lower(network, info).header.network == {
        "type": "SRResNet",
        "layout": "msr",
        "features": 8,
        "blocks": 2,
        "block": "unit",
        "activation": None,
        "method": "srb",
        "w_bits": 1,
        "a_bits": 1,
        "planes": 2,
        "floats": "fp32",
        "tail": "fp32",
    }
    network, info = trained("mixer_unit", {"w_bits": 2, "a_bits": 4})
    told = lower(network, info).header.network
    assert (told["type"], told["features"], told["blocks"], told["expansion"]) == ("Mixer", 8, 2, 2)
    assert (told["block"], told["method"], told["w_bits"]) == ("unit", "rlq", 2)
    network, info = trained("swinir", None)
    told = lower(network, info).header.network
    assert (told["type"], told["features"], told["layers_per_block"], told["method"]) == ("SwinIR", 8, 2, None)


def test_provenance_has_no_path(trained) -> None:
    _, info = trained("srresnet", {})
    info.options["datasets"] = {"train": {"name": "sets/DIV2K", "dataroot_gt": "/data/DIV2K", "gt_size": 8}}
    told = provenance(from_json(info.options), info)
    assert told == {
        "name": "tiny",
        "iteration": 9,
        "weights": "ema",
        "options_hash": options_hash(from_json(info.options)),
        "versions": info.versions,
        "dataset": "DIV2K",
    }


def test_receptive_field_is_that_of_the_deepest_program(trained) -> None:
    network, info = trained("srresnet", {}, (4, 2))
    assert receptive_field(network, lower(network, info).header.programs) == network.receptive_field == 12
    assert receptive_field(network, lower(network, info, depth=2).header.programs) == 8
    network, info = trained("swinir", None, (2, 1))
    assert receptive_field(network, lower(network, info).header.programs) is None


def test_who_sees_the_whole_picture(trained) -> None:
    quant = {"method": "xnor", "w_bits": 1, "a_bits": 1}
    for backbone, settings, whole in (("unit", {}, True), ("unit", {"act_scale": "spatial"}, False), ("swinir", {}, True)):
        network, info = trained(backbone, {**quant, "settings": settings})
        assert lower(network, info).header.whole_picture == whole
    # tokens and windows measure themselves only
    network, info = trained("swinir", {**quant, "skip": ["layers.*.conv"]})
    header = lower(network, info).header
    assert not header.whole_picture
    assert not sees_all((dataclasses.replace(header.programs[0], ops=()),))


def test_networks_of_basicsr_are_refused(trained) -> None:
    network, _ = trained("srresnet", None)
    options = from_dict({"name": "t", "scale": 2, "network_g": {"type": "basicsr:EDSR"}})
    with pytest.raises(OptionsError, match="basicsr:EDSR cannot be packed"):
        described(options, network)
