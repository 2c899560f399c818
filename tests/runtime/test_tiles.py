"""The geometry of tiles: cores cover an axis once, contexts suffice, memory is kept."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qsr.runtime.tiles import choose, spans, up


@given(st.integers(1, 300), st.integers(1, 80), st.integers(0, 40), st.sampled_from((1, 2, 8)))
def test_spans(size: int, tile: int, context: int, align: int) -> None:
    size = up(size, align)
    cut = spans(size, tile, context, align)
    assert [place for s in cut for place in range(s.begin, s.end)] == list(range(size))
    for span in cut:
        assert span.end - span.begin <= up(tile, align)
        assert span.first == 0 or span.begin - span.first >= context
        assert span.last == size or span.last - span.end >= context
        assert all(place % align == 0 for place in (span.first, span.begin, span.end, span.last))


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(0, 40), st.sampled_from((1, 8)), st.integers(1, 10**7))
def test_choose(height: int, width: int, context: int, align: int, budget: int) -> None:
    height, width = up(height, align), up(width, align)

    def memory(h: int, w: int) -> int:
        return 10 * h * w + 1000

    rows, columns = choose(height, width, context, align, memory, budget, height)
    assert rows % align == columns % align == 0
    assert rows >= 1
    assert columns >= 1
    seen = min(rows + 2 * context, height), min(columns + 2 * context, width)
    smallest = min(up(16, align) + 2 * context, height), min(up(16, align) + 2 * context, width)
    if memory(*smallest) <= budget:
        assert memory(*seen) <= budget or rows <= up(16, align)


def test_a_picture_that_fits_is_one_tile_and_a_large_one_has_even_ones() -> None:
    def memory(h: int, w: int) -> int:
        return h * w

    assert choose(100, 100, 10, 1, memory, 10_000, 100) == (100, 100)
    assert choose(1000, 100, 10, 1, memory, 60_000, 1000) == (500, 100)
    rows, columns = choose(10_000, 10_000, 10, 1, memory, 60_000, 10_000)
    assert (rows + 20) * (columns + 20) <= 60_000
    assert rows * columns > 40_000


def test_rows_are_limited_where_bands_take_memory_too() -> None:
    rows, columns = choose(10_000, 10_000, 10, 8, lambda h, w: h * w, 600_000, 100)
    assert rows <= 100
    assert columns > 2000
    assert choose(10_000, 10_000, 10, 8, lambda h, w: h * w, 600_000, 3)[0] == 8
