"""Mean, spread, wins, and the order beside the published one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qsr.leaderboard.stats import mean_scores, order, spread, wins

PSNR = st.lists(st.floats(20, 40), min_size=2, max_size=4)


def row(name: str, ours: float, theirs: float | None, group: str = "w2a2", published_as: str | None = None) -> dict[str, Any]:
    published = {} if theirs is None else {"Set5": {"psnr": theirs}}
    mean = {"Set5": {"psnr_y": ours}, "Set14": {"psnr_y": ours - 3}}
    return {"row": name, "group": group, "mean": mean, "published": published, "published_as": published_as or name}


@given(PSNR, PSNR)
def test_a_win_is_one_sided_and_every_seed_agrees(a: list[float], b: list[float]) -> None:
    assert not (wins(a, b) and wins(b, a))
    if wins(a, b) and len(a) == len(b) == 2:
        assert min(a) > max(b)


def test_a_difference_inside_the_spread_is_no_win() -> None:
    assert wins([36.0, 36.1], [35.8, 35.9])
    assert not wins([36.0, 36.1], [35.95, 36.06])
    # the other row's spread counts as well
    assert not wins([36.0, 36.0], [35.4, 36.2])
    assert not wins([36.0, 36.0], [36.0, 36.0])


def test_one_seed_wins_nothing() -> None:
    assert not wins([40.0], [20.0, 20.1])
    assert not wins([40.0, 40.1], [20.0])
    assert spread([36.0]) is None
    assert spread([36.0, 35.75, 35.875]) == 0.25


def test_only_what_is_done_is_averaged() -> None:
    scores = [{"Set5": {"psnr_y": 36.0, "ssim_y": 0.75}}, {"Set5": {"psnr_y": 36.5, "ssim_y": 0.25}}]
    done = [{"status": "done", "scores": one} for one in scores]
    failed = {"status": "failed", "scores": {"Set5": {"psnr_y": 1.0, "ssim_y": 0.0}}}
    assert mean_scores([*done, failed]) == {"Set5": {"psnr_y": 36.25, "ssim_y": 0.5, "psnr_spread": 0.5}}
    assert mean_scores(done[:1])["Set5"]["psnr_spread"] is None
    assert mean_scores([failed]) == {}


def test_the_order_is_compared_per_group_and_set() -> None:
    rows = [row("a", 36, 38), row("b", 35, 37), row("c", 34, 37.5), row("d", 33, None), row("x", 30, 31, group="w4a4")]
    found = order(rows, ["Set5", "Set14"])
    assert found["w2a2"]["set"] == "Set5"
    assert found["w2a2"]["spearman"] == pytest.approx(0.5)
    assert found["w2a2"]["n"] == 3
    assert found["w2a2"]["sets"]["Set14"] == {"spearman": None, "n": 0}
    assert found["w4a4"]["spearman"] is None
    assert "too few for an order" in found["w4a4"]["caveat"]
    assert order([row("d", 33, None)], ["Set5"]) == {}


def test_variants_of_a_method_count_once() -> None:
    rows = [row("a", 36, 38), row("b", 35, 37), row("c", 34, 36)]
    again = [*rows, row("a, distilled", 30, 38, published_as="a")]
    assert order(again, ["Set5"])["w2a2"] == order(rows, ["Set5"])["w2a2"]
