"""Bytes by kind: measured ones add up to the file, counted ones follow from the layers."""

from __future__ import annotations

import dataclasses

import pytest

from qsr.export.lower import Lowered, lower
from qsr.export.sizes import Sizes, sizes
from qsr.runtime.packed.container import to_bytes


def measured(lowered: Lowered) -> Sizes:
    content = to_bytes(lowered.header, lowered.tensors)
    found = sizes(lowered.header, lowered.tensors, len(content))
    assert found.file == len(content)
    return found


def test_kinds_add_up_and_counts_are_right(trained) -> None:
    network, info = trained("srresnet", {"w_bits": 2, "a_bits": 4})
    found = measured(lower(network, info))
    weights, biases, shifts = 5 * 576, 5 * 8, 5 * 8  # five layers of 8 x 8 x 3 x 3
    params = sum(p.numel() for name, p in network.named_parameters() if "quant" not in name)
    colour = 3  # the mean's offsets
    assert found.codes == 2 * weights // 8
    assert found.scales == 4 * shifts, "a step and a weight's scale are one number each, in the header"
    assert found.biases == 4 * biases
    assert found.full_precision == 4 * (params + colour - weights - biases)
    assert found.float_weights == 4 * (params + colour)
    assert found.papers == found.codes + found.full_precision
    assert found.to_json()["file"] == found.file


@pytest.mark.parametrize(("method", "planes"), [("srb", 2), ("bnn", 1)])
def test_planes_are_bits(trained, method: str, planes: int) -> None:
    network, info = trained("unit", {"method": method, "w_bits": 1, "a_bits": 1})
    found = measured(lower(network, info))
    assert found.codes == planes * 4 * 576 // 8
    assert found.papers == found.codes + found.full_precision


def test_depthwise_weights_are_full_precision(trained) -> None:
    network, info = trained("mixer_unit", {"method": "bnn", "w_bits": 1, "a_bits": 1})
    found = measured(lower(network, info))
    folded = ("quant", "gamma")  # what RPReLU adds first is part of the biases
    params = sum(p.numel() for name, p in network.named_parameters() if not any(part in name for part in folded))
    weights, biases = 2 * 2 * 8 * 16, 2 * (16 + 8)  # two blocks of 8 -> 16 -> 8
    assert found.codes == weights // 8
    assert found.biases == 4 * biases
    assert found.float_weights == 4 * params
    assert found.full_precision == 4 * (params - weights - biases)


def test_half_floats_are_half_in_the_file_and_whole_in_the_papers(trained) -> None:
    network, info = trained("msr", None)
    whole, half = measured(lower(network, info)), measured(lower(network, info, floats="fp16"))
    assert whole.papers == half.papers == whole.full_precision
    assert half.full_precision < 0.6 * whole.full_precision


def test_swin_with_products(trained) -> None:
    network, info = trained("swinir", {"method": "srb", "w_bits": 1, "a_bits": 1, "quant_matmul": True})
    found = measured(lower(network, info))
    linear = 4 * (8 * 24 + 8 * 8 + 8 * 16 + 16 * 8) + 2 * 576
    assert found.codes == 2 * linear // 8
    assert found.scales > 4 * 4 * (3 * 8 + 2), "shifts of q, k, v and a step per head of the map"


def test_a_depth_is_counted_once(trained) -> None:
    network, info = trained("srresnet", {"w_bits": 2}, (4, 2))
    everything, deep = measured(lower(network, info)), measured(lower(network, info, depth=4))
    assert (everything.codes, everything.papers) == (deep.codes, deep.papers)


def test_table_shows_every_kind_and_a_verdict(trained) -> None:
    found = measured(lower(*trained("srresnet", {})))
    table = found.table().splitlines()
    assert [line.strip().split("  ")[0] for line in table][:6] == [
        "weight codes",
        "scales and shifts",
        "biases of these layers",
        "full-precision tensors",
        "names and metadata",
        "file",
    ]
    assert "is larger than what the papers count (+" in table[-1]
    near = dataclasses.replace(found, papers=found.file)
    assert near.as_counted
    assert "is what the papers count (+0.0 %)" in near.table()
