"""Training curves: loss and validation PSNR over the iterations, one pair of charts per group."""

from __future__ import annotations

from qsr.report.board import Board, Points, Row, Seed
from qsr.report.html import Markup, join, tag
from qsr.report.page_parts import chooser, colour_of, panels, scroller
from qsr.report.svg_lines import Series, line_chart, line_legend, smoothed

VIEW, SCALES = "loss", ("logarithmic loss", "linear loss")
WINDOW = 9  # points of the loss that are averaged
MOST = 120  # points kept of one line: what 500 pixels show


def training(board: Board) -> Markup | None:
    """None where no row recorded a curve."""
    figures = [figure for group in board.groups if (figure := _group(board, group)) is not None]
    if not figures:
        return None
    note = (
        f"Loss of the training patches, running mean of {WINDOW} recorded points, and PSNR of the validation pictures. Strong: "
        "the first seed; faint: the others. Point at a name to bring its lines out."
    )
    return join((tag("p", note, class_="quiet"), chooser(VIEW, SCALES), *figures))


def _group(board: Board, group: str) -> Markup | None:
    rows = board.group(group)
    colours = colour_of(board)
    losses = [
        _series(row, seed, smoothed(_thinned(seed.curve), WINDOW), colours) for row in rows for seed in row.seeds if seed.curve
    ]
    checks = [_series(row, seed, seed.validation, colours) for row in rows for seed in row.seeds if seed.validation]
    charts = []
    if losses:
        both = [(kind, _chart(losses, f"Loss of {group}, {kind}", "loss", kind == SCALES[0])) for kind in SCALES]
        charts.append(tag("div", *panels(VIEW, both)))
    if checks:
        charts.append(tag("div", _chart(checks, f"Validation PSNR of {group}", "PSNR_Y, dB", False)))
    if not charts:
        return None
    caption = tag("figcaption", tag("b", group or "no group"))
    return tag("figure", caption, line_legend(losses or checks), tag("div", *charts, class_="charts"), data_group=group)


def _chart(series: list[Series], title: str, axis: str, log: bool) -> Markup:
    return scroller(line_chart(series, title, axis, log=log), title)


def _series(row: Row, seed: Seed, points: Points, colours: dict[str, int]) -> Series:
    return Series(row.anchor, row.label, tuple(points), colours[row.name], lead=seed is row.seeds[0])


def _thinned(points: Points) -> Points:
    """At most MOST points, evenly chosen, the last one among them."""
    if len(points) <= MOST:
        return points
    step = (len(points) - 1) / (MOST - 1)
    return tuple(points[round(i * step)] for i in range(MOST))
