"""Dataset cards as text for the terminal."""

from __future__ import annotations

from pathlib import Path

from qsr.data.benchmark import find_root
from qsr.data.cards import Card, cards, find_card, known_names
from qsr.data.image import list_pictures
from qsr.data.layout import find_hr
from qsr.errors import DataError


def cards_table(data_root: Path | None = None) -> str:
    """One line per card: name, pictures wanted, where it was found, aliases."""
    rows = [("name", "kind", "pictures", "here", "also called")]
    rows += [(c.name, c.kind, str(c.pictures), _found(c, data_root), ", ".join(c.aliases)) for c in cards()]
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def card_text(name: str) -> str:
    """One card in full; DataError for an unknown name."""
    card = find_card(name)
    if card is None:
        raise DataError(f"no card for {name!r}", hint=f"known sets: {known_names()}")
    fields = [
        ("name", card.name),
        ("also called", ", ".join(card.aliases)),
        ("kind", card.kind),
        ("pictures", str(card.pictures)),
        ("source", card.source),
        ("homepage", card.homepage),
        ("licence", card.licence),
        ("layout", card.layout),
        ("notes", card.notes),
        ("checksums", f"{len(card.checksums)} files of {card.checksums_of}" if card.checksums else ""),
    ]
    return "\n".join(f"{key:<12} {value}" for key, value in fields if value)


def _found(card: Card, data_root: Path | None) -> str:
    root = find_root(card.name, data_root)
    if root is None:
        return "-"
    try:
        count = len(list_pictures(find_hr(root)))
    except DataError:
        # a set of our own making: photos/train and photos/val
        count = sum(len(list_pictures(folder)) for folder in root.iterdir() if folder.is_dir())
    return str(root) if count == card.pictures else f"{root}: {count} of {card.pictures} pictures"
