"""Spot checks by hand; agreement with the other backends is tested in test_bits.py and test_reference.py."""

from __future__ import annotations

import numpy as np
import pytest

numba_kernels = pytest.importorskip("qsr.runtime.numba_kernels", exc_type=ImportError)


def test_an_element_across_the_byte_border_by_hand() -> None:
    codes = np.array([-2, 1, -1], np.int16)
    stream = numba_kernels.pack_bits(codes, 3, True)
    assert stream.tolist() == [0b11_001_110, 0b1]
    assert numba_kernels.unpack_bits(stream, 3, 3, True).tolist() == [-2, 1, -1]


def test_extreme_products_do_not_wrap_in_eight_bits() -> None:
    codes = np.full((1, 4, 2, 2), 255, np.uint8)
    weights = np.full((1, 4, 2, 2), -128, np.int8)
    assert numba_kernels.conv2d(codes, weights, 1, 0).item() == -128 * 255 * 16
