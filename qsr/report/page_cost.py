"""Quality against cost: PSNR over parameters, operations and, where it was measured, milliseconds."""

from __future__ import annotations

from collections.abc import Callable

from qsr.report.board import Board, Row
from qsr.report.html import Markup, join, tag
from qsr.report.page_parts import bits_text, number, scroller, short, views
from qsr.report.svg_scatter import Point, scatter_chart, scatter_legend

COSTS: tuple[tuple[str, str, Callable[[Row], float | None]], ...] = (
    ("parameters", "32-bit parameters, thousands", lambda row: row.params_k),
    ("operations", "operations, 1e9", lambda row: row.ops_g),
    ("time", "milliseconds, measured", lambda row: row.milliseconds),
)


def cost(board: Board) -> Markup | None:
    """One chart per kind of cost and set; None where nothing has both a cost and a result."""
    shown = [(name, chart) for name in board.sets if (chart := _charts(board, name)) is not None]
    if not shown:
        return None
    note = (
        "The dashed line joins the rows that nothing cheaper beats. Costs are counted as in qsr complexity, mode honest: "
        "parameters in units of 32 bits, low-bit operations by their bit-serial price."
    )
    return join((tag("p", note, class_="quiet"), views("cost", shown)))


def _charts(board: Board, dataset: str) -> Markup | None:
    figures = []
    points: list[Point] = []
    for name, axis, of in COSTS:
        found = [point for row in board.rows if (point := _point(board, row, dataset, of(row))) is not None]
        if found:
            title = f"PSNR on {dataset} against {name}"
            drawn = scroller(scatter_chart(found, title, axis, f"PSNR_Y on {dataset}, dB"), title)
            figures.append(tag("figure", tag("figcaption", tag("b", name), f" {dataset}"), drawn))
            points = points or found
    if not figures:
        return None
    return join((scatter_legend(points), tag("div", *figures, class_="charts wide")))


def _point(board: Board, row: Row, dataset: str, value: float | None) -> Point | None:
    psnr = row.psnr(dataset)
    if value is None or psnr is None or value <= 0:
        return None
    words = f"{row.label} {bits_text(row)}"
    return Point(
        value, psnr, row.label, f"{words}: {number(psnr)} dB, {short(value)}", board.groups.index(row.group), row.group
    )
