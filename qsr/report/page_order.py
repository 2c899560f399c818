"""Is our order that of the papers? Rank correlation by group and set, and a slope chart that shows who changed places."""

from __future__ import annotations

from qsr.report.board import Board
from qsr.report.html import Markup, join, tag
from qsr.report.order import FEWEST, both, spearman
from qsr.report.page_parts import number, scroller, views
from qsr.report.svg_slope import Pair, slope_chart

CAVEAT = (
    "Spearman's rank correlation between our order and the published one: 1 is the same order, 0 none, \u22121 reversed. "
    "It is taken over few rows, and the budget differs: the papers trained hundreds of times longer, on other data and mostly "
    "larger networks. A short budget favours what converges fast; a changed place is a question, not a refutation."
)


def order(board: Board) -> Markup | None:
    """None where no group has enough rows with a published number."""
    groups = [group for group in board.groups if any(len(both(board.group(group), name)) >= FEWEST for name in board.sets)]
    if not groups:
        return None
    parts = [tag("p", CAVEAT, class_="quiet"), scroller(_correlations(board, groups), "Rank correlation by group and set")]
    legend = tag("p", "Green: better placed here than in the papers; red: worse.", class_="quiet")
    charts = [(name, tag("div", join(_chart(board, group, name) for group in groups), class_="charts")) for name in board.sets]
    return join((*parts, views("order", charts), legend))


def _correlations(board: Board, groups: list[str]) -> Markup:
    head = tag("tr", tag("th", "group", scope="col"), *(tag("th", name, scope="col") for name in board.sets))
    rows = [
        tag("tr", tag("th", group, scope="row"), *(_cell(board, group, name) for name in board.sets), data_group=group)
        for group in groups
    ]
    return tag("table", tag("thead", head), tag("tbody", *rows), class_="plain")


def _cell(board: Board, group: str, dataset: str) -> Markup:
    pairs = both(board.group(group), dataset)
    found = spearman([ours for _, ours, _ in pairs], [theirs for _, _, theirs in pairs])
    return tag("td", number(found), tag("small", f"{len(pairs)} rows"), class_="none" if found is None else None)


def _chart(board: Board, group: str, dataset: str) -> Markup | None:
    pairs = [Pair(row.label, ours, theirs) for row, ours, theirs in both(board.group(group), dataset)]
    if len(pairs) < FEWEST:
        return None
    title = f"{group} on {dataset}: our order beside the published order"
    drawn = slope_chart(pairs, title, ("ours, dB", "published, dB"))
    caption = tag("figcaption", tag("b", group), f" {dataset}")
    return tag("figure", caption, scroller(drawn, title), data_group=group)
