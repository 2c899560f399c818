"""Names of widths."""

from __future__ import annotations

import pytest

from qsr.runtime.executor import LayerKernel, bits_of, float_block
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


@pytest.mark.parametrize(
    ("kernel", "block"),
    [
        ("conv_f32_wino4_avx2", 4),
        ("conv_f32_wino6_avx512", 6),
        ("conv_f32_avx2", 1),
        ("conv_u2s2_wino4x3_avx512", 1),
        ("numpy", 1),
    ],
)
def test_blocks_of_float_kernels(kernel: str, block: int) -> None:
    assert float_block(LayerKernel("layer", "conv", "float", kernel, "avx2")) == block
