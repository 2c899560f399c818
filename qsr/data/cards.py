"""Dataset cards: what each set is, where it comes from, what it must contain, and by which names people call it.

A card is a YAML file in `qsr/data/cards/`. It never holds pictures and never starts a download.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from qsr.errors import DataError

CARD_FOLDER = Path(__file__).parent / "cards"


@dataclass(frozen=True, slots=True)
class Card:
    """One dataset.

    `picks` are shell patterns that find its pictures inside a larger archive. `checksums` maps relative file names to
    32 hex digits of BLAKE2b-128 of the file's bytes; `checksums_of` says of which release.
    """

    name: str
    kind: str
    pictures: int
    source: str
    homepage: str
    licence: str
    layout: str
    aliases: tuple[str, ...] = ()
    notes: str = ""
    picks: tuple[str, ...] = ()
    checksums: dict[str, str] = field(default_factory=dict)
    checksums_of: str = ""


@cache
def cards() -> tuple[Card, ...]:
    """Every card that ships with the package, benchmarks in the order of the papers' tables, then training sets."""
    found = [_card(path) for path in CARD_FOLDER.glob("*.yml")]
    order = ("Set5", "Set14", "B100", "Urban100", "Manga109")
    return tuple(sorted(found, key=lambda c: (order.index(c.name) if c.name in order else len(order), c.name)))


def find_card(name: str) -> Card | None:
    """The card called `name`, or one of whose aliases it is; case does not matter."""
    wanted = name.lower()
    for card in cards():
        if wanted in (card.name.lower(), *(alias.lower() for alias in card.aliases)):
            return card
    return None


def known_names() -> str:
    """Names for messages: `Set5, Set14, ...`."""
    return ", ".join(card.name for card in cards())


def _card(path: Path) -> Card:
    data: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    try:
        return Card(**{**data, "aliases": tuple(data.get("aliases", ())), "picks": tuple(data.get("picks", ()))})
    except TypeError as fault:
        raise DataError(f"not a dataset card: {fault}", where=str(path)) from fault
