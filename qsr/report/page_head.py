"""The top of the page: what was measured, how and where; then the answer, who wins by how much in each group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from qsr.report.board import FILE, Board
from qsr.report.html import Markup, join, tag
from qsr.report.order import Standing, standing
from qsr.report.page_parts import facts, number, scroller, signed

NAMED = 3  # rows that are named as level; the others are counted


def header(board: Board) -> Markup:
    """Title and facts."""
    states = Counter(row.status or "missing" for row in board.rows)
    rows = ", ".join(f"{count} {state}" for state, count in states.most_common())
    seeds = sum(len(row.seeds) for row in board.rows)
    known = [
        ("budget", _pairs(board.budget)),
        ("protocol", board.protocol),
        ("sets", ", ".join(board.sets)),
        ("rows", f"{rows}; {seeds} trainings"),
        ("training time", None if board.hours is None else f"{board.hours:.1f} hours"),
        ("machine", _pairs(board.machine)),
        ("versions", _pairs(board.versions)),
        ("made", board.made[:16].replace("T", " ")),
    ]
    return tag(
        "header",
        tag("p", "qsr leaderboard", class_="eyebrow"),
        tag("h1", board.name, " ", tag("span", f"×{board.scale}", class_="scale")),
        tag(
            "p",
            "The rows of a group started from one full-precision network and saw the same data in the same order, at the same "
            "budget and protocol. Choose a number of the table for the command that makes it again.",
            class_="lead",
        ),
        facts([(name, value) for name, value in known if value]),
    )


def _pairs(data: Mapping[str, Any]) -> str:
    return ", ".join(f"{str(name).replace('_', ' ')} {value}" for name, value in data.items() if value is not None)


def winners(board: Board) -> Markup | None:
    """Per group and set: the first, and its lead if that is larger than what another seed would change."""
    measured = [
        (group, found)
        for group in board.groups
        if len(board.group(group)) > 1 and any(found := [standing(board.group(group), name) for name in board.sets])
    ]
    if not measured:
        return None
    rows = [
        tag("tr", tag("th", group or "no group", scope="row"), *(tag("td", _verdict(one)) for one in found), data_group=group)
        for group, found in measured
    ]
    head = tag("tr", tag("th", "group", scope="col"), *(tag("th", name, scope="col") for name in board.sets))
    grid = tag("table", tag("thead", head), tag("tbody", *rows), class_="verdicts")
    note = (
        "A lead counts as a win only where it is larger than the spread of both rows' seeds (greatest minus least); rows "
        "within it are level, and so is the runner-up where one of the two has a single seed."
    )
    return join((scroller(grid, "Winners by group and set"), tag("p", note, class_="quiet")))


def _verdict(one: Standing | None) -> Markup:
    if one is None:
        return tag("span", "n/a", class_="quiet")
    best = tag("b", one.first.label)
    value = tag("span", f"{number(one.first.psnr(one.dataset))} dB", class_="figure")
    words: object
    if one.level:
        others = ", ".join(row.label for row in one.level[:NAMED])
        more = f" and {len(one.level) - NAMED} more" if len(one.level) > NAMED else ""
        reason = f"within {number(one.spread)}" if one.certain else "one seed"
        words = f"{signed(one.lead)} dB, level with {others}{more} ({reason})"
    elif one.second is None:
        words = "the only one measured"
    else:
        far = f"{signed(one.lead)} dB over {one.second.label} (spread {number(one.spread)})"
        words = join((tag("span", "wins", class_="win"), far), " ")
    return join((best, value, tag("small", words)), " ")


def footer(board: Board) -> Markup:
    return tag(
        "footer",
        tag("p", f"Made by qsr report from {FILE}; nothing on this page is fetched from elsewhere. ", "n/a: not measured."),
    )
