from __future__ import annotations

import numpy as np
import pytest

from qsr.errors import DataError
from qsr.report.crops import GAP, LABEL, PANEL, Box, comparison, worst_box


@pytest.fixture
def quartet():
    """LR, bicubic, ours, HR of distinct flat colours, x2, with one detail in HR."""
    hr = np.full((80, 120, 3), 100, np.uint8)
    hr[40:60, 80:100] = 200
    lr = np.full((40, 60, 3), 10, np.uint8)
    return lr, np.full_like(hr, 100), np.full_like(hr, 90), hr


def test_the_box_is_where_bicubic_is_worst(quartet):
    _, bicubic, _, hr = quartet
    assert worst_box(bicubic, hr, 2) == Box(top=20, left=40, side=10)


def test_the_four_crops_show_the_box(quartet):
    lr, bicubic, ours, hr = quartet
    strip = comparison(lr, bicubic, ours, hr, scale=2)
    assert strip.dtype == np.uint8
    height = 2 * (PANEL + LABEL) + GAP
    assert strip.shape[0] == height + 2 * GAP
    grid = strip[GAP:-GAP, -GAP - 2 * PANEL - GAP : -GAP]
    below, right = PANEL + LABEL + GAP, PANEL + GAP
    panels = [grid[top : top + PANEL, left : left + PANEL] for top in (0, below) for left in (0, right)]
    assert [int(np.median(panel)) for panel in panels] == [10, 100, 90, 200]
    assert all((panel == panel[0, 0]).all() for panel in panels)


def test_labels_give_psnr(quartet):
    lr, bicubic, _, hr = quartet
    # the text is drawn, so another number means other pixels, and only in the label
    one = comparison(lr, bicubic, np.full_like(hr, 90), hr, scale=2, box=Box(0, 0, 4), title="a")
    other = comparison(lr, bicubic, np.full_like(hr, 30), hr, scale=2, box=Box(0, 0, 4), title="a")
    label = np.s_[GAP + 2 * PANEL + LABEL + GAP : -GAP, -2 * PANEL - 2 * GAP : -PANEL - 2 * GAP]
    assert (one[label] != other[label]).any()
    assert np.array_equal(one[: GAP + PANEL], other[: GAP + PANEL])


def test_the_overview_has_the_box(quartet):
    strip = comparison(*quartet, scale=2)
    assert ((strip == (230, 30, 30)).all(axis=2)).sum() > 200


@pytest.mark.parametrize("shape", [(3, 3), (4, 90), (90, 4), (9, 8)])
def test_tiny_and_narrow_pictures(shape):
    lr = np.zeros((*shape, 3), np.uint8)
    hr = np.zeros((shape[0] * 2, shape[1] * 2, 3), np.uint8)
    strip = comparison(lr, hr, hr, hr, scale=2)
    assert strip.shape[0] == 2 * (PANEL + LABEL) + 3 * GAP


def test_sizes_have_to_belong_together(quartet):
    lr, bicubic, ours, hr = quartet
    with pytest.raises(DataError, match="comparison: ours is"):
        comparison(lr, bicubic, ours[1:], hr, scale=2)
    with pytest.raises(DataError, match="expected"):
        comparison(lr, bicubic, ours, hr, scale=3)
