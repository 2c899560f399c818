"""How to make every number again: per row its seeds, their results, the identity of code and data, and the commands.

The numbers of the main table point here; with the script an entry opens where the reader is, without it is a link.
"""

from __future__ import annotations

from qsr.report.board import Board, Row, Seed
from qsr.report.html import Markup, join, tag
from qsr.report.page_parts import MISSING, badge, bits_text, command, facts, number, scroller


def rebuild(board: Board) -> Markup | None:
    """One entry per row."""
    if not board.rows:
        return None
    note = "A run with the same options, data and code is found done and skipped; delete its folder to make it anew."
    return join((tag("p", note, class_="quiet"), *(_entry(board, row) for row in board.rows)))


def _entry(board: Board, row: Row) -> Markup:
    known = [
        ("method", row.method),
        ("bits", bits_text(row)),
        ("backbone", row.backbone),
        ("group", row.group),
        ("published as", row.published_as),
        ("stored bits", None if row.bits is None else f"{row.bits:,.0f}"),
    ]
    parts = [
        facts([(name, value) for name, value in known if value]),
        tag("p", row.why, class_="why") if row.why and row.status != "done" else None,
        tag("p", row.note, class_="quiet") if row.note else None,
        scroller(_seeds(board, row), f"Seeds of {row.label}") if row.seeds else None,
        *(_commands(seed, len(row.seeds) > 1) for seed in row.seeds),
    ]
    summary = tag("summary", tag("b", row.label), f" {row.group} ", badge(row), tag("small", row.name))
    return tag("details", summary, tag("div", *parts, class_="entry"), id=row.anchor, data_group=row.group)


def _seeds(board: Board, row: Row) -> Markup:
    columns = ("seed", *board.sets, "iterations", "minutes", "options", "data", "code")
    head = tag("tr", *(tag("th", name, scope="col", data_set=name if name in board.sets else None) for name in columns))
    return tag("table", tag("thead", head), tag("tbody", *(_seed(board, seed) for seed in row.seeds)), class_="plain numbers")


def _seed(board: Board, seed: Seed) -> Markup:
    scores = []
    for name in board.sets:
        score = seed.scores.get(name)
        below = tag("small", number(score.ssim, 4)) if score and score.ssim is not None else None
        scores.append(tag("td", number(score.psnr if score else None), below, data_set=name))
    minutes = None if seed.seconds is None else seed.seconds / 60
    hashes = [tag("td", tag("code", seed.identity.get(key, MISSING))) for key in ("options_hash", "data_hash", "code")]
    cells = [tag("td", number(seed.iterations, 0)), tag("td", number(minutes, 1)), *hashes]
    return tag("tr", tag("th", seed.seed, scope="row"), *scores, *cells)


def _commands(seed: Seed, several: bool) -> Markup:
    heading = tag("h4", f"seed {seed.seed}", f" \u2014 {seed.status}" if seed.status != "done" else "") if several else None
    average = tag("p", f"measured average bits: {seed.average_bits:.2f}") if seed.average_bits is not None else None
    fault = tag("p", seed.why, class_="why") if seed.why else None
    return join((heading, average, fault, command(seed.train_command), command(seed.test_command)))
