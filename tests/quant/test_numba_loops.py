"""The two orders of memory do the same arithmetic, and a hand-worked element comes out right."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("numba", reason="the compiled loops need numba")
from qsr.quant import numba_loops as loops

V_LOW_HIGH = (0.5, -2, 1)
SLOPE_ONE, SLOPE_Z = np.eye(8, dtype=np.float32)[:2]  # d = 1, and d = z to see the offset


def test_one_element_by_hand() -> None:
    # x = 0.2, shift 0.1, v = 0.5: u = 0.6, code 1, offset -0.4, z = 0.01; g = 3
    x, out, sums = np.array([0.2], np.float32), np.zeros(1, np.float32), np.zeros(1)
    shift, grad = np.array([0.1], np.float32), np.array([3], np.float32)
    loops.quantize_planes(x, out, shift, 1, *V_LOW_HIGH)
    assert out[0] == 0.5
    grad_v = loops.gradient_planes(grad, x, out, shift, 1, *V_LOW_HIGH, SLOPE_Z, sums)
    assert out[0] == pytest.approx(0.03, rel=1e-4)
    assert sums[0] == pytest.approx(0.03, rel=1e-4)
    assert grad_v == pytest.approx(3 * 1 - 0.03 * 0.6, rel=1e-4)


def test_columns_equal_planes_of_the_transposed_array() -> None:
    random = np.random.default_rng(5)
    x, grad = random.normal(size=(2, 130, 7)).astype(np.float32)
    shift = random.normal(size=7).astype(np.float32)
    across, along = np.empty_like(x), np.empty((7, 130), np.float32)
    loops.quantize_columns(x, across, shift, *V_LOW_HIGH)
    loops.quantize_planes(np.ascontiguousarray(x.T).reshape(-1), along.reshape(-1), shift, 130, *V_LOW_HIGH)
    assert np.array_equal(across, along.T)
    sums, sums_t = np.zeros(7), np.zeros(7)
    grad_v = loops.gradient_columns(grad, x, across, shift, *V_LOW_HIGH, SLOPE_ONE, sums)
    turned = (np.ascontiguousarray(a.T).reshape(-1) for a in (grad, x))
    grad_v_t = loops.gradient_planes(*turned, along.reshape(-1), shift, 130, *V_LOW_HIGH, SLOPE_ONE, sums_t)
    assert np.array_equal(across, along.T)
    assert np.allclose(sums, sums_t, atol=1e-5)
    assert math.isclose(grad_v, grad_v_t, rel_tol=1e-5)


def test_clip_lets_nan_through() -> None:
    assert math.isnan(loops.clip(np.float32(math.nan), np.float32(-2), np.float32(1)))
    assert loops.clip(np.float32(7), np.float32(-2), np.float32(1)) == 1
