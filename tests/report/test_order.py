"""Rank correlation against scipy's, and what may be called a win."""

from __future__ import annotations

from dataclasses import replace

import pytest
from example_board import write_board
from hypothesis import given
from hypothesis import strategies as st

from qsr.report.board import Score, read_board
from qsr.report.order import both, ranking, ranks, spearman, standing

VALUES = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=3, max_size=12)


@given(pairs=VALUES)
def test_spearman_is_scipys(pairs):
    stats = pytest.importorskip("scipy.stats")
    left, right = [float(a) for a, _ in pairs], [float(b) for _, b in pairs]
    found = spearman(left, right)
    if len(set(left)) == 1 or len(set(right)) == 1:
        assert found is None
    else:
        assert found == pytest.approx(stats.spearmanr(left, right).statistic, abs=1e-12)


def test_spearman_says_nothing_about_two_rows():
    assert spearman([1.0, 2.0], [1.0, 2.0]) is None
    assert spearman([3.0, 2.0, 1.0], [1.0, 2.0, 3.0]) == -1.0
    with pytest.raises(ValueError, match="3 and 2"):
        spearman([1.0, 2.0, 3.0], [1.0, 2.0])


def test_equal_values_share_their_rank():
    assert ranks([2.0, 9.0, 2.0, 2.0]) == [3.0, 1.0, 3.0, 3.0]


@pytest.fixture
def rows(board_data, tmp_path):
    """Four rows to which a test gives (PSNR, spread)."""
    some = read_board(write_board(tmp_path, board_data)).rows[1:5]

    def given_scores(*scores):
        return [replace(row, mean={"Set5": Score(psnr, 0.9, spread)}) for row, (psnr, spread) in zip(some, scores)]

    return given_scores


def test_a_lead_above_the_spread_is_a_win(rows):
    found = standing(rows((36.0, 0.02), (36.5, 0.05), (36.2, 0.04)), "Set5")
    assert found.won
    assert found.first.psnr("Set5") == 36.5
    assert found.second.psnr("Set5") == 36.2
    assert found.lead == pytest.approx(0.3)


@pytest.mark.parametrize("spreads", [(0.10, 0.01), (0.01, 0.10), (0.10, None), (None, 0.10), (0.01, None), (None, None)])
def test_a_lead_inside_the_larger_spread_or_over_one_seed_is_none(rows, spreads):
    found = standing(rows((36.50, spreads[0]), (36.45, spreads[1]), (36.0, 0.01)), "Set5")
    assert not found.won
    assert [row.psnr("Set5") for row in found.level] == [36.45]
    assert found.lead == pytest.approx(0.05)
    assert found.certain == (spreads[0] is not None)


def test_one_seed_far_behind_takes_no_win_away(rows):
    found = standing(rows((36.5, 0.05), (36.2, 0.04), (33.0, None)), "Set5")
    assert found.won
    assert not standing(rows((36.5, 0.05), (36.2, 0.04), (36.46, None)), "Set5").won


def test_eight_passes_do_not_win_over_one(rows):
    once, eight = rows((36.5, 0.01), (36.9, 0.01))
    assert standing([once, replace(eight, ensemble=True)], "Set5").first is once


def test_a_row_alone_and_no_row(rows):
    alone = standing(rows((36.5, 0.1), (None, None)), "Set5")
    assert (alone.won, alone.second, alone.lead) == (False, None, None)
    assert standing(rows((None, None)), "Set5") is None
    assert standing([], "Set5") is None


def test_ranking_and_pairs(rows):
    some = rows((36.0, None), (37.0, None), (None, None))
    assert [row.psnr("Set5") for row in ranking(some, "Set5")] == [37.0, 36.0]
    # of the two measured rows the second, LSQ+, has no published number
    assert [(row.label, ours) for row, ours, _ in both(some, "Set5")] == [("QuantSR-C", 36.0)]


def test_of_several_rows_with_one_counterpart_the_first_of_the_file_counts(rows):
    some = [
        replace(row, published_as="QuantSR-C", published={"Set5": Score(37.8, 0.9)}) for row in rows((36.0, None), (37.0, None))
    ]
    assert [ours for _, ours, _ in both(some, "Set5")] == [36.0]
