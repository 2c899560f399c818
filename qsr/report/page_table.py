"""The main table: ours, the published number and their difference per set, then costs, seeds and status. Sortable."""

from __future__ import annotations

from collections.abc import Iterable

from qsr.report.board import Board, Row, Score
from qsr.report.html import Markup, join, tag
from qsr.report.order import standing
from qsr.report.page_parts import MISSING, badge, bits_text, number, scroller, short, signed

COSTS = (("params", "K", "32-bit parameters, in thousands"), ("ops", "G", "operations for a 1280x720 output, in 1e9"))


def table(board: Board) -> Markup:
    """The table with bicubic as its last row, and what its marks mean."""
    milliseconds = any(row.milliseconds is not None for row in board.rows)
    notes = _notes(board.rows)
    wins = {name: _winners(board, name) for name in board.sets}
    body = [_row(board, row, notes, wins, milliseconds) for row in board.rows]
    if board.bicubic:
        body.append(_bicubic(board, milliseconds))
    grid = tag("table", _head(board, milliseconds), tag("tbody", *body), class_="board", id="board")
    listed = tag("ol", *(tag("li", note, id=f"note-{i}") for note, i in notes.items()), class_="notes") if notes else None
    caption = (
        "PSNR_Y in dB, mean of the seeds ± half the distance of the best and the worst, SSIM_Y below it. Difference: ours "
        "minus published. The papers trained far longer on more data: compare the order, not the values. "
        "★ wins its group by more than the spread."
    )
    return join((tag("p", caption, class_="quiet"), scroller(grid, "Leaderboard"), listed))


def _winners(board: Board, dataset: str) -> set[str]:
    found = (standing(board.group(group), dataset) for group in board.groups)
    return {one.first.name for one in found if one is not None and one.won}


def _notes(rows: Iterable[Row]) -> dict[str, int]:
    """What is said about published numbers, numbered from 1 in the order of the table."""
    notes = dict.fromkeys(note for row in rows for score in row.published.values() for note in score.notes)
    return {note: i for i, note in enumerate(notes, 1)}


def _head(board: Board, milliseconds: bool) -> Markup:
    fixed = [_sortable(words, words, rows=2) for words in ("method", "bits")]
    sets = [tag("th", name, colspan=3, scope="colgroup", class_="set") for name in board.sets]
    costs = [_sortable(f"{name} {unit}", title, rows=2) for name, unit, title in COSTS]
    costs += [_sortable("ms", "measured milliseconds of one picture", rows=2)] if milliseconds else []
    last = [_sortable("seeds", "trainings that are done", rows=2), _sortable("note", "note", rows=2)]
    below = [
        cell
        for name in board.sets
        for cell in (
            _sortable("ours", f"our PSNR on {name}", class_="first"),
            _sortable("paper", f"published PSNR on {name}", class_="paper"),
            _sortable("diff.", f"ours minus published on {name}"),
        )
    ]
    return tag("thead", tag("tr", *fixed, *sets, *costs, *last), tag("tr", *below))


def _sortable(words: str, title: str, rows: int | None = None, class_: str | None = None) -> Markup:
    """A column's head; the script gives its cells' column number to the button."""
    button = tag("button", words, type="button", title=f"sort by {title}")
    return tag("th", button, scope="col", aria_sort="none", rowspan=rows, class_=class_)


def _row(board: Board, row: Row, notes: dict[str, int], wins: dict[str, set[str]], milliseconds: bool) -> Markup:
    fault = tag("small", row.why, class_="why") if row.why and row.status != "done" else None
    cells = [tag("th", row.label, " ", badge(row), fault, scope="row", data_v=row.label)]
    # full precision sorts above 8 bits, one-bit rows by their planes
    order = (row.w_bits or 0) * 10000 + (row.a_bits or 0) * 100 + (row.planes or 0)
    cells.append(tag("td", bits_text(row), class_="bits", data_v=order))
    for name in board.sets:
        cells += _scores(row, name, notes, row.name in wins[name])
    cells += [_cost(row.params_k), _cost(row.ops_g)] + ([_cost(row.milliseconds)] if milliseconds else [])
    done = sum(seed.status == "done" for seed in row.seeds)
    cells.append(tag("td", f"{done}/{len(row.seeds)}" if row.seeds else MISSING, data_v=done))
    cells.append(tag("td", row.note, data_v=row.note or None))
    return tag("tr", *cells, data_group=row.group, class_=None if row.status == "done" else "undone")


def _scores(row: Row, dataset: str, notes: dict[str, int], won: bool) -> list[Markup]:
    ours, theirs = row.mean.get(dataset), row.published.get(dataset)
    difference = ours.psnr - theirs.psnr if ours and theirs and None not in (ours.psnr, theirs.psnr) else None  # type: ignore[operator]
    return [_ours(row, dataset, ours, won), _theirs(row, theirs, notes), _difference(difference)]


def _ours(row: Row, dataset: str, score: Score | None, won: bool) -> Markup:
    if score is None or score.psnr is None:
        return tag("td", MISSING, class_="first none")
    spread = tag("span", "" if score.spread is None else f"±{number(score.spread / 2)}", class_="spread")
    star = tag("span", "★", class_="win", title="wins its group by more than the spread") if won else None
    link = tag("a", star, number(score.psnr), spread, href=f"#{row.anchor}", data_rebuild=row.anchor, data_set=dataset)
    return tag("td", link, tag("small", number(score.ssim, 4)), class_="first", data_v=score.psnr)


def _theirs(row: Row, score: Score | None, notes: dict[str, int]) -> Markup:
    if score is None or score.psnr is None:
        return tag("td", MISSING, class_="paper none")
    marks = [tag("a", i, href=f"#note-{i}") for i in sorted(notes[note] for note in score.notes)]
    origin = f"{row.published_as or row.label}, {score.source}".strip(", ")
    figure = tag("span", number(score.psnr), title=origin)
    small = tag("small", number(score.ssim, 4))
    return tag("td", figure, tag("sup", join(marks, ",")) if marks else None, small, class_="paper", data_v=score.psnr)


def _difference(value: float | None) -> Markup:
    if value is None:
        return tag("td", MISSING, class_="none")
    return tag("td", signed(value), data_v=round(value, 6), class_="up" if value > 0.005 else None)


def _cost(value: float | None) -> Markup:
    return tag("td", short(value), data_v=value, class_="none" if value is None else None)


def _bicubic(board: Board, milliseconds: bool) -> Markup:
    cells = [tag("th", "Bicubic", scope="row", data_v="Bicubic"), tag("td", "", data_v=-1)]
    for name in board.sets:
        score = board.bicubic.get(name)
        psnr = score.psnr if score else None
        below = tag("small", number(score.ssim, 4)) if score and psnr is not None else None
        cells.append(tag("td", number(psnr), below, class_="first", data_v=psnr))
        cells += [tag("td", ""), tag("td", "")]
    return tag("tr", *cells, *(tag("td", "") for _ in range(5 if milliseconds else 4)), class_="bicubic")
