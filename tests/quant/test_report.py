"""The layer table and its JSON."""

from __future__ import annotations

import json

import pytest

from qsr.errors import FormatError
from qsr.quant.report import LayerReport, LayerRow

REPORT = LayerReport(
    (
        LayerRow("conv_first", "Conv2d", 1792, reason="head"),
        LayerRow("body.0.conv1", "Conv2d", 36928, "rlq", 2, "rlq", 4, "channel", "input, before zero padding"),
    ),
    unused=("tail",),
)


def test_json_round_trip_is_exact() -> None:
    assert LayerReport.from_json(json.loads(json.dumps(REPORT.to_json()))) == REPORT


@pytest.mark.parametrize("broken", [{}, {"rows": [{"module": "a"}], "unused": []}, {"rows": [{"colour": 1}], "unused": []}, []])
def test_foreign_json_is_refused(broken: object) -> None:
    with pytest.raises(FormatError, match="not a layer report"):
        LayerReport.from_json(broken)


def test_rows_are_sorted_by_fate() -> None:
    assert [row.module for row in REPORT.quantized] == ["body.0.conv1"]
    assert [row.module for row in REPORT.kept] == ["conv_first"]


def test_the_table_shows_bits_sites_and_reasons() -> None:
    head, first, second, *summary = REPORT.table().splitlines()
    assert head.split()[:5] == ["module", "kind", "params", "w", "a"]
    assert first.split() == ["conv_first", "Conv2d", "1792", "fp", "fp", "-", "-", "head"]
    assert "rlq 2" in second
    assert "rlq 4" in second
    assert "input, before zero padding" in second
    assert (
        " ".join(summary)
        == "1 of 2 layers quantized, 36928 of 38720 parameters in them. Rules that decided about no layer: tail."
    )


def test_an_empty_report_has_a_table_too() -> None:
    assert LayerReport().summary() == "0 of 0 layers quantized, 0 of 0 parameters in them."
