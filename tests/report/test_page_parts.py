"""Numbers as text, and the pieces that every section uses."""

from __future__ import annotations

from dataclasses import replace

import pytest
import reading

from qsr.report.page_parts import (
    badge,
    bits_text,
    chooser,
    colour_of,
    command,
    facts,
    number,
    panels,
    scroller,
    short,
    signed,
    views,
)


def test_numbers():
    assert [number(value) for value in (36.126, -1.0, None)] == ["36.13", "\u22121.00", "n/a"]
    assert [signed(value) for value in (0.5, -0.5, -0.001, None)] == ["+0.50", "\u22120.50", "0.00", "n/a"]
    assert [short(value) for value in (0.05234, 4.3111, 307.4, 12345.6, 0, None)] == [
        "0.0523",
        "4.31",
        "307",
        "12,346",
        "0",
        "n/a",
    ]


def test_bits(board_data, read):
    row = read(board_data).rows[1]
    cases = {(4, 4, 1): "4/4", (1, 1, 2): "1/1 ×2", (32, 32, 1): "fp", (None, 4, 1): "n/a"}
    for (w_bits, a_bits, planes), words in cases.items():
        assert bits_text(replace(row, w_bits=w_bits, a_bits=a_bits, planes=planes)) == words


@pytest.mark.parametrize(
    ("status", "approximate", "words"),
    [("done", False, None), ("failed", False, "failed"), ("done", True, "approximate"), ("", True, "missing approximate")],
)
def test_a_badge_says_what_is_not_as_usual(board_data, read, status, approximate, words):
    made = badge(replace(read(board_data).rows[1], status=status, approximate=approximate))
    assert (reading.read(made).text if made else None) == words


def test_one_view_needs_no_buttons_and_two_do():
    assert views("v", [("a", scroller(facts([("x", 1)]), "n"))]) == scroller(facts([("x", 1)]), "n")
    tree = reading.read(views("v", [("a", facts([])), ("b", facts([]))]))
    assert [(b.text, b["data-to"], b["aria-pressed"]) for b in tree.all("button")] == [("a", "0", "true"), ("b", "1", "false")]
    assert [(p["data-view"], p["data-is"]) for p in tree.all("div", data_view="v")] == [("v", "0"), ("v", "1")]
    assert len(panels("v", [("a", facts([]))])) == 1
    assert reading.read(chooser("v", ["a"])).all("div", role="group")


def test_a_box_that_scrolls_can_be_reached_with_the_keyboard():
    (box,) = reading.read(scroller(facts([]), "Costs")).children
    assert (box["tabindex"], box["role"], box["aria-label"], box["class"]) == ("0", "region", "Costs", "scroll")


def test_a_command_has_its_button_and_a_missing_one_says_so():
    tree = reading.read(command("qsr train -opt 'a b.yml'"))
    assert tree.all("code")[0].text == "qsr train -opt 'a b.yml'"
    assert [button.text for button in tree.all("button")] == ["copy"]
    assert "no command" in reading.read(command("")).text


def test_a_method_has_one_colour_in_all_groups(board_data, read):
    board = read(board_data)
    colours = colour_of(board)
    assert colours["rlq_w4a4"] == colours["rlq_w2a2"] != colours["lsq_w4a4"]
