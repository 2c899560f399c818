from __future__ import annotations

from qsr.data.benchmark import open_set
from qsr.data.cards import CARD_FOLDER, cards, find_card, known_names
from qsr.data.manifest import digest

BENCHMARKS = {"Set5": 5, "Set14": 14, "B100": 100, "Urban100": 100, "Manga109": 109}


def test_the_cards_of_the_field_are_there():
    found = {card.name: card for card in cards()}
    assert [card.name for card in cards()][:5] == list(BENCHMARKS)
    assert {name: found[name].pictures for name in BENCHMARKS} == BENCHMARKS
    assert (found["DIV2K"].pictures, found["Flickr2K"].pictures, found["BSD400"].pictures) == (800, 2650, 400)
    assert len(found) == len(list(CARD_FOLDER.glob("*.yml")))


def test_every_card_is_complete():
    for card in cards():
        assert card.kind in ("benchmark", "training")
        assert all((card.source, card.licence, card.layout, card.homepage.startswith("http")))
        assert all(len(checksum) == 32 for checksum in card.checksums.values())
        assert bool(card.checksums) == bool(card.checksums_of)


def test_aliases_lead_to_one_card_each():
    assert {find_card(name).name for name in ("B100", "BSDS100", "cbsd100", "bsd100")} == {"B100"}
    names = [name.lower() for card in cards() for name in (card.name, *card.aliases)]
    assert len(names) == len(set(names))
    assert find_card("Set6") is None
    assert "Manga109" in known_names()


def test_checksums_are_those_of_the_release_that_is_named(shared_data):
    card = find_card("Set5")
    root = shared_data / "benchmark" / "Set5"
    assert {name: digest((root / name).read_bytes()) for name in card.checksums} == card.checksums


def test_counts_agree_with_real_sets(shared_data):
    for name in ("Set5", "Set14", "B100"):
        assert len(open_set(name, 2, shared_data)) == find_card(name).pictures
