from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from qsr.errors import OptionsError
from qsr.evaluate import tiling


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.one_of(st.none(), st.integers(1, 40)), st.integers(0, 20), st.integers(1, 4))
def test_tiles_cover_every_pixel_once_and_see_their_surroundings(height, width, tile, overlap, scale):
    covered = np.zeros((height * scale, width * scale), int)
    picture = np.arange(height * width).reshape(height, width)
    enlarged = picture.repeat(scale, 0).repeat(scale, 1)
    for part in tiling.plan(height, width, tile, overlap):
        covered[part.outside(scale)] += 1
        seen = picture[part.read].repeat(scale, 0).repeat(scale, 1)
        assert np.array_equal(seen[part.inside(scale)], enlarged[part.outside(scale)])
        for keep, read, side in zip(part.keep, part.read, (height, width)):
            assert read.start == max(0, keep.start - overlap)
            assert read.stop == min(side, keep.stop + overlap)
    assert (covered == 1).all()


class Marked(nn.Module):
    def __init__(self, field: int | None, window: int, feats: int = 4) -> None:
        super().__init__()
        self.receptive_field, self.window, self.scale = field, window, 1
        self.conv = nn.Conv2d(3, feats, 1)

    def forward(self, x):
        return self.conv(x)


def test_overlap_is_the_receptive_field_or_whole_windows():
    assert tiling.overlap_of(Marked(37, 1)) == 37
    assert tiling.overlap_of(Marked(0, 1)) == 0
    assert tiling.overlap_of(Marked(None, 8)) == 32
    assert tiling.overlap_of(Marked(None, 7)) == 35


def test_a_tile_has_to_be_whole_windows():
    tiling.check_tile(Marked(None, 8), 48)
    tiling.check_tile(Marked(5, 1), 49)
    with pytest.raises(OptionsError, match=r"multiple of 8.*--tile 56"):
        tiling.check_tile(Marked(None, 8), 50)
    with pytest.raises(OptionsError, match="tile is 0"):
        tiling.check_tile(Marked(5, 1), 0)


def test_bytes_per_pixel_are_measured_on_the_largest_layer():
    network = Marked(0, 1, feats=13)
    assert tiling.bytes_per_pixel(network) == 3 * 4 * (3 + 13)
    assert not network.conv._forward_hooks


def test_auto_takes_the_whole_picture_when_it_fits():
    network = Marked(2, 1, feats=13)  # 192 bytes per pixel
    assert tiling.auto_tile(network, 100, 100, budget=192 * 100 * 100) is None
    tile = tiling.auto_tile(network, 100, 101, budget=192 * 100 * 100)
    assert tile == 96
    assert (tile + 4) ** 2 * 192 <= 192 * 100 * 100


def test_auto_never_goes_below_the_smallest_tile():
    assert tiling.auto_tile(Marked(50, 1), 1000, 1000, budget=1) == tiling.SMALLEST
    assert tiling.auto_tile(Marked(None, 24), 1000, 1000, budget=1) == 24


def test_halving_ends():
    network, sides, tile = Marked(None, 8), [], None
    while (tile := tiling.halve(network, tile, 300, 200)) is not None:
        sides.append(tile)
    assert sides == [152, 80, 40, 24, 16]
    assert tiling.halve(Marked(3, 1), 31, 300, 200) is None


def test_what_counts_as_out_of_memory():
    assert tiling.is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert tiling.is_out_of_memory(MemoryError())
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert tiling.is_out_of_memory(caught.value)
    assert not tiling.is_out_of_memory(RuntimeError("size mismatch"))


def test_available_memory_is_positive():
    assert tiling.available_memory(torch.device("cpu")) > 2**20
