"""The reference convolution against an independent numpy reading, over a grid of odd sizes, for every backend."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from qsr.errors import FormatError
from qsr.runtime.backend import MODULES, load_kernels
from qsr.runtime.reference import MAX_ACCUMULATOR, accumulator_bound, conv2d_int

SEED = 20_26
LARGEST_K = MAX_ACCUMULATOR // (255 * 128)  # 65793


def oracle(codes: np.ndarray, weights: np.ndarray, padding: int, stride: int = 1) -> np.ndarray:
    """The formula of contract.h over explicit windows, in int64."""
    padded = np.pad(codes.astype(np.int64), ((0, 0), (0, 0), (padding,) * 2, (padding,) * 2))
    windows = sliding_window_view(padded, weights.shape[2:], axis=(2, 3))[:, :, ::stride, ::stride]
    return np.einsum("nchwuv,ocuv->nohw", windows, weights.astype(np.int64))


def tensor(rng: np.random.Generator, shape: tuple[int, ...], bits: int, signed: bool) -> np.ndarray:
    lowest = -(1 << (bits - 1)) if signed else 0
    return rng.integers(lowest, lowest + (1 << bits), shape).astype(np.int8 if signed else np.uint8)


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 5)])
def test_equals_the_formula(every_backend: str, bits: int, kernel: tuple[int, int]) -> None:
    rng = np.random.default_rng([SEED, bits, *kernel])
    for height, width, inputs, outputs in [(1, 1, 1, 1), (2, 7, 3, 5), (5, 4, 16, 2), (9, 8, 2, 17), (17, 3, 5, 4)]:
        for stride, padding in [(1, 0), (1, 1), (1, 2), (2, 1), (3, 4)]:
            if min(height + 2 * padding - kernel[0], width + 2 * padding - kernel[1]) < 0:
                continue
            for a_signed, w_signed in [(False, True), (True, True), (True, False), (False, False)]:
                codes = tensor(rng, (2, inputs, height, width), bits, a_signed)
                weights = tensor(rng, (outputs, inputs, *kernel), bits, w_signed)
                found = conv2d_int(codes, weights, padding, stride)
                assert found.dtype == np.int32
                np.testing.assert_array_equal(found, oracle(codes, weights, padding, stride), err_msg=f"seed {SEED}")


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9), st.integers(1, 6), st.integers(0, 3), st.integers(1, 3))
def test_backends_agree(seed: int, height: int, width: int, channels: int, padding: int, stride: int) -> None:
    rng = np.random.default_rng(seed)
    codes = tensor(rng, (1, channels, height, width), 8, bool(seed % 2))
    kernel = (min(3, height + 2 * padding), min(3, width + 2 * padding))
    weights = tensor(rng, (3, channels, *kernel), 8, True)
    expected = oracle(codes, weights, padding, stride)
    for name in MODULES:
        try:
            kernels = load_kernels(name)
        except ImportError:
            assert name != "numpy"
            continue
        np.testing.assert_array_equal(kernels.conv2d(codes, weights, stride, padding), expected, err_msg=name)


def test_padding_contributes_nothing(every_backend: str) -> None:
    codes = np.full((1, 1, 1, 1), 3, np.uint8)
    weights = np.full((1, 1, 3, 3), -1, np.int8)
    assert conv2d_int(codes, weights, padding=2)[0, 0].tolist() == [[-3] * 3] * 3
    assert conv2d_int(codes, weights, padding=3)[0, 0, 0].tolist() == [0] * 5


def test_largest_k_is_exact_and_one_more_is_refused(every_backend: str) -> None:
    codes = np.full((1, LARGEST_K + 1, 1, 1), 255, np.uint8)
    weights = np.full((1, LARGEST_K + 1, 1, 1), -128, np.int8)
    found = conv2d_int(codes[:, :-1], weights[:, :-1])
    assert found.item() == -128 * 255 * LARGEST_K == -2_147_483_520
    with pytest.raises(FormatError, match=r"int32 accumulator could overflow: 65794 terms x 255 x 128 = 2147516160"):
        conv2d_int(codes, weights)


def test_alternating_signs_at_the_largest_k(every_backend: str) -> None:
    codes = np.full((1, LARGEST_K, 1, 1), 255, np.uint8)
    weights = np.where(np.arange(LARGEST_K) % 2, -128, 127).astype(np.int8).reshape(1, -1, 1, 1)
    np.testing.assert_array_equal(conv2d_int(codes, weights), oracle(codes, weights, 0))


def test_views_are_read_in_their_own_order(every_backend: str) -> None:
    codes = np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 4, 5, 3).transpose(0, 3, 1, 2)
    weights = np.arange(-9, 9, dtype=np.int8).reshape(3, 3, 2, 1)[::-1]
    np.testing.assert_array_equal(conv2d_int(codes, weights, 1), oracle(codes, weights, 1))


def test_accumulator_bound_is_the_product() -> None:
    assert accumulator_bound(576, 3, 2) == 3456
    assert accumulator_bound(1, 1, MAX_ACCUMULATOR) == MAX_ACCUMULATOR
    with pytest.raises(FormatError, match="expected at most 2147483647"):
        accumulator_bound(1, 1, MAX_ACCUMULATOR + 1)


@pytest.mark.parametrize(
    ("codes", "weights", "padding", "stride", "message"),
    [
        (np.zeros((1, 2, 3, 3), np.int16), np.zeros((1, 2, 1, 1), np.int8), 0, 1, "codes: found int16"),
        (np.zeros((2, 3, 3), np.int8), np.zeros((1, 2, 1, 1), np.int8), 0, 1, r"codes: found int8 of shape \(2, 3, 3\)"),
        (np.zeros((1, 2, 3, 3), np.int8), np.zeros((1, 2, 1, 1)), 0, 1, "weights: found float64"),
        (np.zeros((1, 2, 3, 3), np.int8), np.zeros((1, 3, 1, 1), np.int8), 0, 1, "codes have 2, weights expect 3"),
        (np.zeros((1, 2, 3, 3), np.int8), np.zeros((1, 2, 5, 1), np.int8), 0, 1, "does not fit into picture"),
        (np.zeros((1, 2, 3, 3), np.int8), np.zeros((1, 2, 1, 1), np.int8), -1, 1, "padding -1"),
        (np.zeros((1, 2, 3, 3), np.int8), np.zeros((1, 2, 1, 1), np.int8), 0, 0, "stride 0"),
        (np.zeros((0, 2, 3, 3), np.int8), np.zeros((1, 2, 1, 1), np.int8), 0, 1, "empty shape"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    codes: np.ndarray, weights: np.ndarray, padding: int, stride: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        conv2d_int(codes, weights, padding, stride)
