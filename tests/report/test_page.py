"""The whole page: one file that needs nothing else, says what it must, and takes any text for text."""

from __future__ import annotations

import json
import re

import pytest
import reading

from qsr.errors import DataError
from qsr.report.board import read_board
from qsr.report.page import page, write_page

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&lt;"


@pytest.fixture(scope="module")
def whole(board_folder):
    return page(read_board(board_folder))


def test_every_section_is_there_and_linked(whole):
    tree = reading.read(whole)
    sections = [section["id"] for section in tree.all("section")]
    assert sections == ["winners", "table", "order", "cost", "training", "pictures", "layers", "rebuild"]
    assert [link["href"] for link in tree.all("nav")[0].all("a")] == [f"#{name}" for name in sections]
    assert [chip.text for chip in tree.all("button", data_filter="w4a4")] == ["w4a4"]


def test_nothing_is_fetched_from_elsewhere(whole):
    assert not re.findall(r"""(?:https?:)?//[a-z0-9]""", re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", whole))
    assert "@import" not in whole
    for element in reading.read(whole).all():
        assert element.name not in ("link", "iframe", "object", "embed", "base", "video", "audio")
        for key in ("src", "href", "srcset", "action", "poster"):
            value = element[key]
            assert value is None or value.startswith(("data:image/png;base64,", "#")), (element.name, value)
    (policy,) = reading.read(whole).all("meta", http_equiv="Content-Security-Policy")
    assert policy["content"].startswith("default-src 'none'")


def test_ids_are_unique_and_links_lead_somewhere(whole):
    elements = reading.read(whole).all()
    ids = [element["id"] for element in elements if element["id"]]
    assert len(ids) == len(set(ids))
    assert {link["href"][1:] for link in elements if link["href"]} <= set(ids)


def test_pictures_and_charts_have_words_and_tables_have_heads(whole):
    tree = reading.read(whole)
    assert all(image["alt"] for image in tree.all("img"))
    assert all(svg["aria-label"] or svg["aria-hidden"] for svg in tree.all("svg"))
    for grid in tree.all("table"):
        assert all(head["scope"] for head in grid.all("th"))
    assert tree.all("html")[0]["lang"] == "en"


def test_any_text_stays_text(board_data, read):
    for key in ("name", "made", "protocol"):
        board_data[key] = EVIL
    board_data["sets"] = [EVIL, "Set14"]
    board_data.update(budget={EVIL: EVIL}, machine={"cpu": EVIL}, versions={"qsr": EVIL})
    for row in board_data["rows"]:
        for key in ("row", "label", "method", "group", "backbone", "note", "why", "published_as"):
            row[key] = EVIL if key in ("group", "note") else f"{EVIL}{row[key]}"
        row["mean"][EVIL] = {"psnr_y": 30.0, "ssim_y": 0.9, "psnr_spread": 0.1}
        row["published"] = {EVIL: {"psnr": 31.0, "ssim": 0.9, "source": EVIL, "notes": [EVIL]}}
        for seed in row["seeds"]:
            seed.update(dict.fromkeys(("experiment", "code", "options_hash", "train_command", "test_command", "why"), EVIL))
        for layer in (row["layers"] or {}).get("rows", ()):
            layer.update(dict.fromkeys(("module", "kind", "w_method", "reason", "act_at"), EVIL))
    text = page(read(board_data))
    tree = reading.read(text)
    assert len(tree.all("script")) == 1
    assert not tree.all("img")
    assert not [element for element in tree.all() if any(name.startswith("on") for name in element.attributes)]
    assert tree.all("h1")[0].text == f"{EVIL} ×2"
    assert EVIL not in text


def test_a_board_of_nothing_is_a_page(read):
    bare = {"format": 1, "name": "n", "scale": 2, "sets": ["Set5"], "rows": [{"row": "a", "status": "missing"}]}
    tree = reading.read(page(read(bare)))
    assert [section["id"] for section in tree.all("section")] == ["table", "rebuild"]
    assert "n/a" in tree.all("section")[0].text


def test_the_page_is_written_beside_its_source(board_data, tmp_path):
    source = tmp_path / "leaderboard.json"
    source.write_text(json.dumps(board_data))
    assert write_page(tmp_path) == tmp_path / "leaderboard.html"
    assert write_page(source, tmp_path / "a" / "b.html") == tmp_path / "a" / "b.html"
    assert (tmp_path / "a" / "b.html").read_bytes() == (tmp_path / "leaderboard.html").read_bytes()
    with pytest.raises(DataError, match="no such file"):
        write_page(tmp_path / "nothing")


def test_the_page_stays_small(whole, board_folder):
    pictures = sum(len(uri) for uri in re.findall(r"data:image/png;base64,[A-Za-z0-9+/=]+", whole))
    assert len(whole) - pictures < 600_000
    assert pictures < 1_000_000
