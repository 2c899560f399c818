"""One HTML page from leaderboard.json: style, script and pictures are inside, so that it opens anywhere, without a network.

    >>> write_page("experiments/leaderboard/small_x2")          # doctest: +SKIP
    PosixPath('experiments/leaderboard/small_x2/leaderboard.html')

Every section is a function (board) -> Markup in its own page_*.py. What a section has nothing for it says, or leaves out.
"""

from __future__ import annotations

from pathlib import Path

from qsr.files import write_atomic
from qsr.report import page_cost, page_curves, page_head, page_layers, page_order, page_pictures, page_rebuild, page_table
from qsr.report.board import Board, read_board
from qsr.report.html import Markup, join, tag

FOLDER = Path(__file__).parent
# what the browser itself enforces: nothing is fetched, no script but the page's own
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
SECTIONS = (
    ("winners", "What wins", page_head.winners),
    ("table", "Table", page_table.table),
    ("order", "Order", page_order.order),
    ("cost", "Cost", page_cost.cost),
    ("training", "Training", page_curves.training),
    ("pictures", "Pictures", page_pictures.pictures),
    ("layers", "Layers", page_layers.layers),
    ("rebuild", "Rebuild", page_rebuild.rebuild),
)


def write_page(source: Path | str, target: Path | None = None) -> Path:
    """Write the page of `source` (leaderboard.json or its folder) to `target`, by default leaderboard.html beside it.

    Returns the path. Raises DataError where there is no such file or a picture is damaged, FormatError where the file is.
    """
    board = read_board(source)
    target = target or board.folder / "leaderboard.html"
    write_atomic(target, page(board).encode())
    return target


def page(board: Board) -> str:
    """The whole document."""
    made = [(anchor, title, section(board)) for anchor, title, section in SECTIONS]
    present = [(anchor, title, body) for anchor, title, body in made if body]
    bodies = [tag("section", tag("h2", title), body, id=anchor) for anchor, title, body in present]
    return document(
        f"{board.name}: qsr leaderboard",
        page_head.header(board),
        _toolbar(board, [(anchor, title) for anchor, title, _ in present]),
        tag("main", *bodies),
        page_head.footer(board),
        tag("dialog", tag("div", id="rebuild-box"), id="rebuild-dialog", aria_label="How this number was made"),
    )


def document(title: str, *parts: Markup) -> str:
    """A whole page around `parts`, with the house's style and script inside."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Markup(_own("page.css"))),
    )
    said = tag("div", id="said", role="status", aria_live="polite")
    body = tag("body", *parts, said, tag("script", Markup(_own("page.js"))))
    return "<!doctype html>\n" + tag("html", head, "\n", body, lang="en") + "\n"


def _toolbar(board: Board, sections: list[tuple[str, str]]) -> Markup:
    """Links to the sections, and the filter by group, which hides everything that belongs to another one."""
    links = tag("nav", *(tag("a", title, href=f"#{anchor}") for anchor, title in sections), aria_label="Sections")
    chips = [tag("button", "all groups", type="button", data_filter="", aria_pressed="true")]
    chips += [
        tag("button", group or "no group", type="button", data_filter=group, aria_pressed="false") for group in board.groups
    ]
    chooser = tag("div", join(chips), class_="chips script", role="group", aria_label="Show one group only")
    return tag("div", links, chooser if len(board.groups) > 1 else None, class_="toolbar")


def _own(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
