"""Which network section a `network_g` is read as."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from qsr.options.schema_network import BasicSRNetwork, Mixer, Network, SRResNet, SwinIR, network_kind


@pytest.mark.parametrize(
    ("kind", "model"),
    [
        ("SRResNet", SRResNet),
        ("EDSR", SRResNet),
        ("MSRResNet", SRResNet),
        ("SwinIR", SwinIR),
        ("Mixer", Mixer),
        ("basicsr:RRDBNet", BasicSRNetwork),
    ],
)
def test_type_decides(kind: str, model: type) -> None:
    found = TypeAdapter(Network).validate_python({"type": kind})
    assert type(found) is model
    assert network_kind(found) == model.__name__


@pytest.mark.parametrize("value", [3, None, {"type": 3}, {"type": "basicsr"}, {"type": "swinir"}])
def test_anything_else_is_no_network(value: object) -> None:
    assert network_kind(value) is None


def test_without_a_type_it_is_the_backbone_of_the_papers() -> None:
    assert TypeAdapter(Network).validate_python({"num_block": 8}) == SRResNet(num_block=8)


@pytest.mark.parametrize(
    ("network", "layout"),
    [
        (SRResNet(), "edsr"),
        (SRResNet(type="EDSR"), "edsr"),
        (SRResNet(type="MSRResNet"), "msr"),
        (SRResNet(layout="msr"), "msr"),
    ],
)
def test_layout_follows_from_type(network: SRResNet, layout: str) -> None:
    assert network.resolved_layout == layout


def test_basicsr_networks_keep_every_key() -> None:
    network = BasicSRNetwork.model_validate({"type": "basicsr:RRDBNet", "num_in_ch": 3, "num_grow_ch": 32})
    assert network.model_extra == {"num_in_ch": 3, "num_grow_ch": 32}
    assert BasicSRNetwork.model_validate(network.model_dump()) == network


@pytest.mark.parametrize(
    "network",
    [{"num_feat": 4097}, {"num_block": 1025}, {"type": "SwinIR", "depths": [1025]}, {"type": "SwinIR", "window_size": 33}],
)
def test_no_digit_too_many_fills_the_memory(network: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="less than or equal to"):
        (SwinIR if network.get("type") == "SwinIR" else SRResNet).model_validate(network)
