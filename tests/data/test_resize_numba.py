from __future__ import annotations

import numpy as np

from qsr.data.resize import taps
from qsr.data.resize_numba import weighted_columns, weighted_rows


def test_rows_and_columns_are_the_same_sum():
    x = np.random.default_rng(0).integers(0, 256, (13, 11, 3), np.uint8)
    weights, index = taps(13, 1 / 2)
    rows = weighted_rows(x.reshape(13, -1), weights, index).reshape(-1, 11, 3)
    columns = weighted_columns(np.ascontiguousarray(x.transpose(1, 0, 2)), weights, index)
    assert np.array_equal(rows, columns.transpose(1, 0, 2))
    assert np.allclose(rows, np.einsum("ok,okwc->owc", weights, x[index].astype(float)), atol=1e-9)


def test_additions_follow_the_order_of_the_taps():
    # 1e16 + 1 - 1e16 is 0 from left to right; another order, or one fused operation, gives 1
    x = np.array([[1.0], [1.0], [1.0]])
    weights = np.array([[1e16, 1.0, -1e16]])
    index = np.array([[0, 1, 2]])
    assert weighted_rows(x, weights, index)[0, 0] == 0.0
    assert weighted_columns(x.reshape(1, 3, 1), weights, index)[0, 0, 0] == 0.0


def test_products_are_rounded_before_they_are_added():
    # (1 + 2^-30)^2 - 1 - 2^-29 is 2^-60 with a fused multiply-add, 0 without
    a = 1 + 2.0**-30
    x = np.array([[1 + 2.0**-29], [a]])
    weights, index = np.array([[-1.0, a]]), np.array([[0, 1]])
    assert weighted_rows(x, weights, index)[0, 0] == 0.0
    assert weighted_columns(x.reshape(1, 2, 1), weights, index)[0, 0, 0] == 0.0
