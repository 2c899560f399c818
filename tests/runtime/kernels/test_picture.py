"""Rows at the ends of a network against numpy, for every instruction set of this machine."""

from __future__ import annotations

import numpy as np
import pytest

from qsr.runtime.interpreter_maths import bilinear, shuffle

extension = pytest.importorskip("qsr._kernels", reason="the extension was not built", exc_type=ImportError)

SETS = [
    pytest.param(name, marks=pytest.mark.skipif(not runs, reason=f"this machine has no {name}"))
    for name, runs in extension.isa_supported().items()
]


def bytes_of(t: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(t, 0, 1).astype(np.float32) * np.float32(255)).astype(np.uint8)


def test_bytes_are_divided_by_255_then_scaled() -> None:
    picture = np.arange(768, dtype=np.int64).reshape(16, 16, 3).astype(np.uint8)
    scale, offset = np.array([1.5, -2, 0.3], np.float32), np.array([0.1, 0, -0.7], np.float32)
    units = picture.astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(extension.picture_begin(picture), units)
    np.testing.assert_array_equal(extension.picture_begin(picture, scale, offset), units * scale + offset)
    np.testing.assert_array_equal(extension.picture_begin(units), units)
    np.testing.assert_array_equal(extension.picture_begin(units, scale), units * scale)
    np.testing.assert_array_equal(extension.picture_begin(units, None, offset), units + offset)


@pytest.mark.parametrize("isa", SETS)
def test_every_half_is_rounded_to_even_and_the_rest_clipped(isa: str) -> None:
    steps = np.arange(-4, 516, dtype=np.float32) / np.float32(2) / np.float32(255)
    special = np.array([np.inf, -np.inf, -0.0, 1e-45, 0.99999994, 1.0000001, 3e38, -3e38], np.float32)
    values = np.concatenate([steps, special]).reshape(-1, 4, 3)
    got, _ = extension.picture_end_bytes(isa, values)
    np.testing.assert_array_equal(got, bytes_of(values))
    assert {int(b) for b in got.ravel()} == set(range(256))
    np.testing.assert_array_equal(extension.picture_end_floats(isa, values)[0], np.clip(values, 0, 1))
    assert not extension.picture_end_bytes(isa, np.full((1, 5, 3), np.nan, np.float32))[0].any()


@pytest.mark.parametrize("isa", SETS)
@pytest.mark.parametrize("width", [1, 2, 5, 10, 11, 16, 43, 85, 86, 256, 257, 600])
def test_every_width_is_written_exactly(isa: str, width: int) -> None:
    print("seed", width)
    rng = np.random.default_rng(width)
    for stride in (3, 4, 16):
        values = rng.uniform(-0.2, 1.2, (2, width, stride)).astype(np.float32)
        bias = rng.normal(0, 0.1, 3).astype(np.float32)
        want = values[..., :3] + bias
        np.testing.assert_array_equal(extension.picture_end_bytes(isa, values, 1, bias)[0], bytes_of(want))
        np.testing.assert_array_equal(extension.picture_end_floats(isa, values, 1, bias)[0], np.clip(want, 0, 1))


@pytest.mark.parametrize("isa", SETS)
@pytest.mark.parametrize("factor", range(1, 9))
def test_shuffled_values_and_an_enlarged_base(isa: str, factor: int) -> None:
    print("seed", factor)
    rng = np.random.default_rng(factor)
    for height, width in ((1, 1), (2, 1), (5, 3), (7, 90)):
        channels = 3 * factor**2
        values = rng.uniform(-0.5, 0.5, (height, width, channels + 5)).astype(np.float32)
        bias = rng.normal(0, 0.1, channels).astype(np.float32)
        base = rng.random((height, width, 3), dtype=np.float32)
        want = shuffle(values[..., :channels] + bias, factor) + bilinear(base, factor)
        got, _ = extension.picture_end_floats(isa, values, factor, bias, base, factor)
        np.testing.assert_allclose(got, np.clip(want, 0, 1), rtol=0, atol=5e-7)
        pixels, _ = extension.picture_end_bytes(isa, values, factor, bias, base, factor)
        np.testing.assert_array_equal(pixels, bytes_of(got))


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_enlargement_is_that_of_torch(factor: int) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(3)
    base = rng.random((9, 33, 3), dtype=np.float32)
    want = torch.nn.functional.interpolate(torch.from_numpy(base).permute(2, 0, 1)[None], scale_factor=factor, mode="bilinear")[
        0
    ]
    values = np.zeros((9 * factor, 33 * factor, 3), np.float32)
    got, _ = extension.picture_end_floats("portable", values, 1, None, base, factor)
    np.testing.assert_allclose(got, want.permute(1, 2, 0).numpy(), rtol=0, atol=1e-6)


@pytest.mark.drill("K3")
def test_instruction_sets_agree_exactly() -> None:
    rng = np.random.default_rng(4)
    values = rng.uniform(-0.5, 0.5, (12, 120, 16)).astype(np.float32)
    base = rng.random((4, 40, 3), dtype=np.float32)
    got = [
        extension.picture_end_floats(name, values, 1, None, base, 3)[0]
        for name, runs in extension.isa_supported().items()
        if runs
    ]
    for each in got[1:]:
        np.testing.assert_array_equal(each, got[0])


def test_what_does_not_fit_is_refused() -> None:
    values = np.zeros((2, 2, 3), np.float32)
    with pytest.raises(ValueError, match="no instruction set is called"):
        extension.picture_end_bytes("sse9", values)
    with pytest.raises(ValueError, match="too few values"):
        extension.picture_end_bytes("portable", values, 2)
    with pytest.raises(ValueError, match="the base has another size"):
        extension.picture_end_bytes("portable", values, 1, None, np.zeros((1, 2, 3), np.float32), 2)
    with pytest.raises(ValueError, match=r"expected \(H, W, 3\)"):
        extension.picture_begin(np.zeros((2, 2, 4), np.uint8))
    with pytest.raises(ValueError, match="expected 3 numbers"):
        extension.picture_begin(np.zeros((2, 2, 3), np.uint8), np.zeros(2, np.float32))
