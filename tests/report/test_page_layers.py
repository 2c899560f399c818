"""The layer table: equal layers in one line, nothing lost."""

from __future__ import annotations

import pytest
import reading

from qsr.errors import FormatError
from qsr.quant.report import LayerRow
from qsr.report.page_layers import folded, layers


def row(module, bits=2, params=10):
    return LayerRow(module, "Conv2d", params, w_method="rlq", w_bits=bits, a_method="rlq", a_bits=bits)


def test_equal_layers_are_one_line():
    found = folded((row("head"), *(row(f"body.{i}.conv{j}") for i in range(8) for j in (1, 2)), row("tail", params=3)))
    assert [(one.module, one.times, one.params) for one in found] == [
        ("head", 1, 10),
        ("body.{0–7}.conv{1–2}", 16, 160),
        ("tail", 1, 3),
    ]


def test_other_bits_are_another_line_and_gaps_are_listed():
    found = folded((row("body.0"), row("body.1", bits=4), row("body.2"), row("body.11")))
    assert [(one.module, one.times, one.layer.w_bits) for one in found] == [("body.{0,2,11}", 3, 2), ("body.1", 1, 4)]


def test_a_row_has_its_table_collapsed(board_data, read):
    tree = reading.read(layers(read(board_data)))
    assert len(tree.all("details")) == 18  # the failed row has none
    first = tree.all("details", data_group="w4a4")[0]
    assert first["open"] is None
    assert "16 of 18 layers quantized" in first.all("summary")[0].text
    cells = [cell.text for cell in first.all("tbody")[0].all("tr")[1].children]
    assert cells[:6] == ["body.{0–7}.conv{1–2}", "16", "Conv2d", "147,456", "rlq 4", "rlq 4"]
    assert "first layer" in first.text


def test_no_layers_and_damaged_ones(board_data, read):
    for line in board_data["rows"]:
        line["layers"] = None
    assert layers(read(board_data)) is None
    board_data["rows"][0]["layers"] = {"rows": [{"module": "a", "kind": "Conv2d", "params": 1, "colour": "red"}]}
    with pytest.raises(FormatError, match="not a layer report"):
        layers(read(board_data))
    with pytest.raises(FormatError, match="layer name 3"):
        folded((LayerRow(3, "Conv2d", 1),))
