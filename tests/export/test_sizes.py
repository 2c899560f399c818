"""Bytes by kind: measured ones add up to the file, counted ones follow from the layers."""

from __future__ import annotations

from qsr.export.packed import pack, to_bytes
from qsr.export.sizes import sizes
from qsr.export.unpack import parse_packed


def test_kinds_add_up_and_counts_are_right(trained) -> None:
    network, info = trained("srresnet", {"w_bits": 2, "a_bits": 4})
    content = to_bytes(*pack(network, info))
    found = sizes(parse_packed(content))
    weights, biases = 5 * 225, 5 * 5  # five layers of 5 x 5 x 3 x 3
    params = sum(p.numel() for name, p in network.named_parameters() if "quant" not in name)
    assert found.file == len(content)
    assert found.codes == 5 * 57  # ceil(225 * 2 / 8) each
    assert found.scales == 5 * 4 * (1 + 1 + 5)
    assert found.full_precision == 4 * (params - weights)
    assert found.float_weights == 4 * params
    assert found.honest == -(-2 * weights // 8) + found.scales + found.full_precision
    assert found.papers == found.honest - found.scales - 4 * biases
    assert found.to_json()["file"] == len(content)


def test_table_shows_every_kind(trained) -> None:
    table = sizes(parse_packed(to_bytes(*pack(*trained("srresnet", {}))))).table()
    assert [line.split("  ")[1] for line in table.splitlines()][:5] == [
        "weight codes",
        "scales and shifts",
        "full-precision tensors",
        "names and metadata",
        "file",
    ]
