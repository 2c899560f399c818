"""Nothing gets into the page unescaped unless it was marked up here."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qsr.report.html import join, tag, text


class Reader(HTMLParser):
    """Elements, attributes and text as a browser would find them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.words = ""

    def handle_starttag(self, name: str, attributes: list) -> None:
        self.found.append((name, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.words += data


@given(words=st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_any_text_comes_back_as_text(words: str) -> None:
    reader = Reader()
    reader.feed(tag("p", words, title=words))
    reader.close()
    assert reader.found == [("p", {"title": words})]
    assert reader.words == words


def test_markup_is_kept_and_text_beside_it_is_not() -> None:
    assert tag("p", tag("b", "<i>"), "<i>", None, 3) == "<p><b>&lt;i&gt;</b>&lt;i&gt;3</p>"
    assert text(text("&")) == "&amp;"
    assert join(["<", tag("br")], " > ") == "&lt; &gt; <br>"


def test_attributes() -> None:
    assert tag("input", type="radio", checked=True, disabled=False, title=None) == '<input type="radio" checked>'
    assert tag("a", "x", class_="c", aria_label="l") == '<a class="c" aria-label="l">x</a>'


def test_an_empty_element_takes_no_children() -> None:
    with pytest.raises(ValueError, match="<br> cannot have children"):
        tag("br", "x")
