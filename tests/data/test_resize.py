from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qsr.data.image import read_rgb
from qsr.data.resize import bicubic_upscale, degrade, imresize, modcrop, taps


@pytest.mark.drill("D7")
@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", ["baby", "bird", "butterfly", "head", "woman"])
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_equals_what_matlab_wrote_byte_for_byte(name, scale, backend, shared_data):
    root = shared_data / "benchmark" / "Set5"
    hr = read_rgb(root / "HR" / f"{name}.png")
    matlab = read_rgb(root / "LR_bicubic" / f"X{scale}" / f"{name}x{scale}.png")
    assert np.array_equal(degrade(hr, scale, backend=backend), matlab)


def test_float_mode_differs_from_matlab_by_little_in_few_pixels(shared_data):
    hr = read_rgb(shared_data / "benchmark" / "Set5" / "HR" / "bird.png")
    exact, single = degrade(hr, 2), degrade(hr, 2, mode="float")
    difference = np.abs(exact.astype(int) - single)
    assert 0.02 < (difference > 0).mean() < 0.3
    assert difference.max() <= 2


# plain loops written from the definition (algorithms.md 6), not from resize.py
def _by_definition(x: np.ndarray, scale: float) -> np.ndarray:
    def h(t: float) -> float:
        t = abs(t)
        if t <= 1:
            return 1.5 * t**3 - 2.5 * t**2 + 1
        return -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2 if t <= 2 else 0.0

    s = min(scale, 1.0)
    n = len(x)
    out = np.empty((int(np.ceil(n * scale)), *x.shape[1:]))
    for i in range(1, len(out) + 1):
        u = i / scale + 0.5 * (1 - 1 / scale)
        first = int(np.floor(u - 2 / s))
        taken = [(s * h(s * (u - p)), p) for p in range(first, first + int(np.ceil(4 / s)) + 2)]
        total = sum(w for w, _ in taken)
        value = 0.0
        for w, p in taken:
            q = (p - 1) % (2 * n)
            value = value + (w / total) * x[q if q < n else 2 * n - 1 - q]
        out[i - 1] = value
    return np.clip(np.floor(out + 0.5), 0, 255)


@pytest.mark.drill("D7")
@pytest.mark.parametrize("scale", [2, 3, 4, 1 / 2, 1 / 3, 1 / 4])
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (3, 2), (5, 8), (17, 13), (33, 31)])
def test_follows_the_definition_at_odd_sizes(scale, shape, picture):
    x = picture(*shape)
    rows = _by_definition(x, scale)
    wanted = _by_definition(rows.transpose(1, 0, 2), scale).transpose(1, 0, 2)
    difference = np.abs(imresize(x, scale, backend="numpy") - wanted)
    assert difference.max() <= 1  # a tie may fall either way
    assert difference.mean() < 1e-3


@pytest.mark.drill("D7")
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    channels=st.sampled_from([1, 3]),
    scale=st.sampled_from([2, 3, 4, 1.5, Fraction(1, 2), Fraction(1, 3), Fraction(1, 4), 0.37]),
    mode=st.sampled_from(["matlab", "float"]),
    seed=st.integers(0, 1000),
)
def test_numba_and_numpy_agree_bit_for_bit(height, width, channels, scale, mode, seed):
    x = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    assert np.array_equal(imresize(x, scale, mode, "numpy"), imresize(x, scale, mode, "numba"))


@pytest.mark.drill("D7")
def test_both_backends_sum_in_the_same_order():
    # before rounding, where a fused multiply-add or another order of additions would show
    from qsr.data import resize, resize_numba

    x = np.random.default_rng(3).normal(size=(37, 29, 3)) * 255
    weights, index = taps(37, 1 / 3)
    ours = resize._along_rows(x, weights, index, np.float64, None)
    theirs = resize_numba.weighted_rows(x.reshape(37, -1), weights, index).reshape(ours.shape)
    assert np.array_equal(ours, theirs)
    turned = resize_numba.weighted_columns(np.ascontiguousarray(x.transpose(1, 0, 2)), weights, index)
    assert np.array_equal(ours.transpose(1, 0, 2), turned)


def test_interior_taps_at_half_size():
    weights, _ = taps(64, 0.5)
    side = [-0.011719, -0.035156, 0.113281, 0.433594]
    assert np.allclose(weights[16], side + side[::-1], atol=1e-6)


@given(length=st.integers(1, 3000), scale=st.sampled_from([2, 3, 4]))
def test_lengths_are_exact(length, scale):
    assert len(taps(length * scale, float(Fraction(1, scale)))[0]) == length
    assert len(taps(length, float(scale))[0]) == length * scale


@given(value=st.integers(0, 255), scale=st.sampled_from([2, 3, 4]))
def test_flat_stays_flat(value, scale):
    flat = np.full((12, 24, 3), value, np.uint8)
    assert (degrade(flat, scale) == value).all()
    assert (bicubic_upscale(flat, scale) == value).all()


def test_overshoot_is_clipped():
    edge = np.zeros((8, 8, 3), np.uint8)
    edge[:, 4:] = 255
    up = bicubic_upscale(edge, 4)
    assert up.min() == 0
    assert up.max() == 255


def test_modcrop_cuts_below_and_at_the_right(picture):
    x = picture(13, 17)
    assert np.array_equal(modcrop(x, 4), x[:12, :16])
    assert np.array_equal(degrade(x, 4), degrade(x[:12, :16], 4))


@pytest.mark.parametrize(
    ("image", "scale"),
    [
        (np.zeros((4, 4), np.uint8), 2),
        (np.zeros((4, 4, 3), np.float32), 2),
        (np.zeros((4, 4, 3), np.uint8), 0),
        (np.zeros((0, 4, 3), np.uint8), 2),
    ],
)
def test_other_arrays_and_scales_are_refused(image, scale):
    with pytest.raises(ValueError):
        imresize(image, scale)
