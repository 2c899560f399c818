"""Names of widths."""

from __future__ import annotations

import pytest

from qsr.runtime.executor import bits_of
from qsr.runtime.packed.ops import FloatWeight, SignAct, SignWeight, UniformAct, UniformWeight


@pytest.mark.parametrize(
    ("weight", "act", "expected"),
    [
        (FloatWeight("w"), None, "float"),
        (FloatWeight("w"), UniformAct(8, False, 1.0), "w32a8"),
        (UniformWeight("w", 2, 1.0), UniformAct(4, True, 1.0), "w2a4"),
        (UniformWeight("w", 4, 1.0), None, "w4a32"),
        (UniformWeight("w", 8, 1.0), SignAct(), "w8a1"),
        (SignWeight("w", (1.0,)), SignAct(), "w1a1"),
        (SignWeight("w", (1.0, 1.0, 1.0)), UniformAct(2, False, 1.0), "w1x3a2"),
    ],
)
def test_bits_of(weight, act, expected: str) -> None:
    assert bits_of(weight, act) == expected
