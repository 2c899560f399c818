"""exp2 and GELU of the fused Swin layers against double precision; the errors are those that transcendental.inc states."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr

extension = pytest.importorskip("qsr._kernels", reason="the extension was not built", exc_type=ImportError)

ISAS = [
    pytest.param(isa, marks=pytest.mark.skipif(not there, reason=f"this machine has no {isa}"))
    for isa, there in extension.isa_supported().items()
]


@pytest.mark.parametrize("isa", ISAS)
def test_exp2_keeps_its_relative_error(isa: str) -> None:
    x = np.concatenate([np.linspace(-126, 126, 400_001), np.linspace(-1, 1, 100_001)]).astype(np.float32)
    want = np.exp2(x.astype(np.float64))
    assert np.max(np.abs(extension.swin_exp2(x, isa) - want) / want) <= 2.5e-7


@pytest.mark.parametrize("isa", ISAS)
def test_exp2_far_below_is_nothing(isa: str) -> None:
    got = extension.swin_exp2(np.array([-127, -150, -1e4, -3e38], dtype=np.float32), isa)
    assert np.all((got >= 0) & (got <= 2e-38))


@pytest.mark.parametrize("isa", ISAS)
def test_exp2_of_whole_numbers(isa: str) -> None:
    x = np.arange(-126, 127, dtype=np.float32)
    got = extension.swin_exp2(x, isa)
    np.testing.assert_allclose(got, np.exp2(x), rtol=1.3e-7)  # the polynomial at 0 is one unit beside 1


@pytest.mark.parametrize("isa", ISAS)
def test_gelu_keeps_its_error(isa: str) -> None:
    x = np.concatenate([np.linspace(-12, 12, 400_001), np.linspace(-0.1, 0.1, 50_001), [-1e6, 1e6, -100, 100]]).astype(
        np.float32
    )
    want = x.astype(np.float64) * ndtr(x.astype(np.float64))
    error = np.abs(extension.swin_gelu(x, isa) - want) / np.maximum(1, np.abs(x))
    assert error.max() <= 1.5e-7, x[error.argmax()]


@pytest.mark.parametrize("isa", ISAS)
def test_gelu_keeps_the_sign(isa: str) -> None:
    """A sign quantizer behind it sees the signs that the exact function has."""
    x = np.array([0.0, 1e-30, -1e-30, 1e-3, -1e-3, 5.9, -5.9, 6.1, -6.1, 50, -50], dtype=np.float32)
    np.testing.assert_array_equal(np.sign(extension.swin_gelu(x, isa)), np.sign(x))
