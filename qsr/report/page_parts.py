"""What the page's sections share: numbers as text, badges, scrolling boxes, buttons that choose a view."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qsr.report.board import Board, Row
from qsr.report.html import Markup, join, tag

MISSING = "n/a"
MINUS = "\u2212"


def number(value: float | None, digits: int = 2) -> str:
    """Fixed decimals, or n/a."""
    return MISSING if value is None else f"{value:.{digits}f}".replace("-", MINUS)


def signed(value: float | None, digits: int = 2) -> str:
    """With its sign; what rounds to nothing has none."""
    if value is None:
        return MISSING
    rounded = round(value, digits) + 0.0
    return f"{rounded:+.{digits}f}".replace("-", MINUS) if rounded else f"{0:.{digits}f}"


def short(value: float | None) -> str:
    """Three significant digits, never as a power: 0.0523, 4.31, 307, 12345."""
    if value is None:
        return MISSING
    if value == 0:
        return "0"
    return f"{value:,.{max(0, 2 - math.floor(math.log10(abs(value))))}f}".replace("-", MINUS)


def bits_text(row: Row) -> str:
    """4/4, or 1/1 and its planes where they are more than one; full precision is fp."""
    if row.w_bits is None or row.a_bits is None:
        return MISSING
    planes = f" ×{row.planes}" if (row.planes or 1) > 1 else ""
    return "fp" if row.w_bits >= 32 and row.a_bits >= 32 else f"{row.w_bits}/{row.a_bits}{planes}"


def badge(row: Row) -> Markup | None:
    """What the reader has to know before the numbers: not done, or not the method to the letter."""
    parts = []
    if row.status != "done":
        parts.append(tag("span", row.status or "missing", class_=f"badge {_kind(row.status)}"))
    if row.approximate:
        parts.append(tag("span", "approximate", class_="badge approximate", title="not the method to the letter: see the note"))
    return join(parts, " ") if parts else None


def _kind(status: str) -> str:
    return status if status in ("failed", "running") else "missing"


def scroller(inside: Markup, name: str) -> Markup:
    """A box that scrolls sideways by itself, also with the keyboard, so that the page never has to."""
    return tag("div", inside, class_="scroll", tabindex=0, role="region", aria_label=name)


def views(name: str, shown: Sequence[tuple[str, Markup]]) -> Markup:
    """Several views of one thing with buttons to choose one; without the script all of them stand below each other."""
    if len(shown) == 1:
        return shown[0][1]
    return join((chooser(name, [words for words, _ in shown]), *panels(name, shown)))


def chooser(name: str, choices: Sequence[str]) -> Markup:
    """The buttons; the first view is the one that is shown."""
    buttons = [
        tag("button", words, type="button", data_switch=name, data_to=i, aria_pressed="true" if i == 0 else "false")
        for i, words in enumerate(choices)
    ]
    return tag("div", join(buttons), class_="chips script", role="group", aria_label=f"View: {name}")


def panels(name: str, shown: Sequence[tuple[str, Markup]]) -> list[Markup]:
    """The views that `chooser(name, ...)` chooses from; there may be several sets of them on the page."""
    return [
        tag("div", tag("h4", words, class_="noscript"), body, data_view=name, data_is=i)
        for i, (words, body) in enumerate(shown)
    ]


def command(words: str) -> Markup:
    """A command line with a button that copies it."""
    if not words:
        return tag("p", "no command was recorded", class_="quiet")
    return tag("div", tag("code", words), tag("button", "copy", type="button", data_copy=True), class_="command")


def facts(pairs: Sequence[tuple[str, object]]) -> Markup:
    """Names with their values."""
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs), class_="facts")


def colour_of(board: Board) -> dict[str, int]:
    """Row name -> colour number; what has one label has one colour in all groups."""
    labels = list(dict.fromkeys(row.label for row in board.rows))
    return {row.name: labels.index(row.label) for row in board.rows}
