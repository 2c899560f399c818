"""Windows: inverses, masks against their definition, reflection against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qsr.archs import windows


@given(st.integers(1, 40), st.sampled_from([2, 4, 8]))
def test_reflection_is_numpys(size: int, multiple: int) -> None:
    index = windows.reflected(size, multiple, torch.device("cpu")).numpy()
    missing = -size % multiple
    np.testing.assert_array_equal(index, np.pad(np.arange(size), (0, missing), mode="reflect"))


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.sampled_from([2, 4]))
def test_merge_inverts_partition(n: int, rows: int, columns: int, window: int) -> None:
    x = torch.arange(n * rows * columns * window**2 * 3.0).view(n, rows * window, columns * window, 3)
    parts = windows.partition(x, window)
    assert parts.shape == (n * rows * columns, window**2, 3)
    assert torch.equal(windows.merge(parts, window, rows * window, columns * window), x)


def test_partition_keeps_pixels_together() -> None:
    x = torch.arange(4 * 6.0).view(1, 4, 6, 1)
    first = windows.partition(x, 2)[0].flatten().tolist()
    assert first == [0, 1, 6, 7]


@pytest.mark.parametrize("size", [(4, 4), (8, 4), (4, 12), (8, 8)])
def test_mask_separates_opposite_sides(size: tuple[int, int]) -> None:
    """Two pixels of a shifted window may attend to each other iff no wrap-around lies between them."""
    window, shift = 4, 2
    mask = windows.shift_mask(*size, window, shift, like=torch.zeros((), dtype=torch.float64))
    place = torch.stack(torch.meshgrid(*(torch.arange(n) for n in size), indexing="ij"), -1)[None]
    shifted = place.roll((-shift, -shift), (1, 2))
    before, after = windows.partition(shifted, window), windows.partition(place, window)  # (row, column) of each pixel
    same_offset = ((before[:, :, None] - before[:, None]) == (after[:, :, None] - after[:, None])).all(-1)
    assert mask.dtype == torch.float64
    assert torch.equal(mask == 0, same_offset)
    assert set(mask.unique().tolist()) <= {0.0, windows.MASKED}


def test_relative_positions() -> None:
    """Same offset, same row of the table; different offset, different row; all rows used."""
    window = 3
    index = windows.relative_positions(window).view(window**2, window**2)
    rows: dict[tuple[int, int], set[int]] = {}
    for i in range(window**2):
        for j in range(window**2):
            offset = (i // window - j // window, i % window - j % window)
            rows.setdefault(offset, set()).add(int(index[i, j]))
    assert all(len(found) == 1 for found in rows.values())
    assert sorted(next(iter(found)) for found in rows.values()) == list(range((2 * window - 1) ** 2))


def test_crop_keeps_the_upper_left_part() -> None:
    image = torch.rand(2, 3, 6, 8)
    assert torch.equal(windows.crop(image, 5, 3), image[:, :, :5, :3])


def test_padding_keeps_the_picture() -> None:
    image = torch.rand(1, 3, 5, 9)
    padded = windows.pad_to_windows(image, 4)
    assert padded.shape == (1, 3, 8, 12)
    assert torch.equal(padded[..., :5, :9], image)
    assert torch.equal(padded[..., 5, :9], image[..., 3, :])
