"""What was quantized in each row: the layer table, blocks of equal layers in one line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Any

from qsr.errors import FormatError
from qsr.quant.report import LayerReport, LayerRow
from qsr.report.board import Board, Row
from qsr.report.html import Markup, join, tag
from qsr.report.page_parts import scroller

HEAD = (
    "module",
    "times",
    "kind",
    "parameters",
    "weights",
    "activations",
    "granularity",
    "activation quantizer",
    "full precision because",
)
RIGHT = ("times", "parameters")


@dataclass(frozen=True)
class Folded:
    """Layers that differ in their numbers only. module: `body.{0-7}.conv1`; params: of all of them."""

    module: str
    times: int
    layer: LayerRow
    params: int


def layers(board: Board) -> Markup | None:
    """A collapsed table per row; None where no row has one."""
    shown = [(row, _report(row)) for row in board.rows if row.layers.get("rows")]
    if not shown:
        return None
    return join(_details(row, report) for row, report in shown)


def _report(row: Row) -> LayerReport:
    return LayerReport.from_json(_plain(row.layers))


def _plain(data: Mapping[str, Any]) -> dict[str, Any]:
    return {"rows": data["rows"], "unused": data.get("unused") or ()}


def _details(row: Row, report: LayerReport) -> Markup:
    summary = tag("summary", tag("b", row.label), f" {row.group} ", tag("small", report.summary()))
    head = tag("tr", *(tag("th", name, scope="col", class_="right" if name in RIGHT else None) for name in HEAD))
    body = [_line(one) for one in folded(report.rows)]
    grid = tag("table", tag("thead", head), tag("tbody", *body), class_="plain")
    return tag("details", summary, scroller(grid, f"Layers of {row.label}"), data_group=row.group)


def _line(one: Folded) -> Markup:
    layer = one.layer
    cells = [
        tag("th", tag("code", one.module or "(the network itself)"), scope="row"),
        tag("td", one.times, class_="right"),
        tag("td", layer.kind),
        tag("td", f"{one.params:,}", class_="right"),
        tag("td", _bits(layer.w_method, layer.w_bits)),
        tag("td", _bits(layer.a_method, layer.a_bits)),
        tag("td", layer.granularity or "\u2013"),
        tag("td", layer.act_at or "\u2013"),
        tag("td", layer.reason or "\u2013"),
    ]
    return tag("tr", *cells, class_=None if layer.quantized else "kept")


def _bits(method: str, bits: int) -> str:
    return f"{method} {bits}" if method else "fp"


def folded(rows: tuple[LayerRow, ...]) -> list[Folded]:
    """Rows that are equal but for the numbers in their names, in the order of the first of each.

    Raises FormatError for a row whose name is no text.
    """
    runs: dict[tuple, list[LayerRow]] = {}
    for row in rows:
        if not isinstance(row.module, str):
            raise FormatError(f"layer name {row.module!r}, expected text")
        runs.setdefault((re.sub(r"\d+", "#", row.module), *astuple(row)[1:]), []).append(row)
    return [
        Folded(_name([row.module for row in run]), len(run), run[0], sum(row.params for row in run)) for run in runs.values()
    ]


def _name(modules: list[str]) -> str:
    """Numbers that differ as {least-greatest}."""
    parts = [re.split(r"(\d+)", module) for module in modules]
    columns = [list(dict.fromkeys(column)) for column in zip(*parts)]
    return "".join(column[0] if len(column) == 1 else _range(column) for column in columns)


def _range(numbers: list[str]) -> str:
    found = sorted(int(number) for number in numbers)
    if found == list(range(found[0], found[-1] + 1)):
        return f"{{{found[0]}\u2013{found[-1]}}}"
    return "{" + ",".join(map(str, found)) + "}"
