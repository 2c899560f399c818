"""Stored weights decode to the fake-quantized ones times the factor, for every method, width and granularity."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from qsr.errors import OptionsError
from qsr.export.builder import Shared
from qsr.export.weights import is_odd, weight_of
from qsr.quant import Codes, QConv2d
from qsr.quant.modules import initial_weights
from qsr.runtime.packed.codes import dense
from qsr.runtime.packed.ops import Conv, FloatWeight, SignWeight, UniformWeight, Weight
from qsr.spec import METHODS, QuantSpec

CASES = [
    (method, bits, granularity)
    for method, entry in METHODS.items()
    for bits in range(entry.w_bits[0], entry.w_bits[1] + 1)
    for granularity in ("tensor", "channel")
]
FACTORS = [np.array([1.0]), np.array([-0.5]), np.array([2.0, -3.0, 0.1, -0.2])]


def shared(half: bool = False) -> Shared:
    return Shared(half=lambda name: half)


def layer_of(method: str, bits: int, granularity: str) -> QConv2d:
    torch.manual_seed(4)
    layer = QConv2d.from_float(nn.Conv2d(3, 4, 3, padding=1), QuantSpec(method, bits, granularity), None)
    initial_weights(layer.train())
    return layer.eval()


def decoded(weight: Weight, one: Shared) -> np.ndarray:
    return dense(Conv((0,), "w", 3, 4, (3, 3), weight), one.tensors)


@pytest.mark.parametrize(("method", "bits", "granularity"), CASES)
def test_weights_of_every_method(method: str, bits: int, granularity: str) -> None:
    layer = layer_of(method, bits, granularity)
    expected = layer.weight_quant(layer.weight).detach().numpy()
    for factor in FACTORS:
        one = shared()
        weight = weight_of(one, "w", layer, factor)
        if weight is None:
            assert (factor < 0).any()
            codes = layer.weight_quant.encode(layer.weight)
            assert codes.q.min() == codes.qmin == -(2 ** (bits - 1)), "only the lowest signed code cannot be turned around"
            continue
        assert isinstance(weight, SignWeight if bits == 1 else UniformWeight)
        np.testing.assert_allclose(decoded(weight, one), expected * factor.reshape(-1, 1, 1, 1), rtol=1e-6, atol=1e-7)
        assert one.tensors["w.weight"].nbytes == -(-getattr(weight, "planes", 1) * expected.size * bits // 8)


def test_a_channel_that_is_switched_off() -> None:
    factor = np.array([1.0, 0.0, 2.0, 1.0])
    for method, bits in (("rlq", 4), ("srb", 1)):
        one, layer = shared(), layer_of(method, bits, "channel")
        weight = weight_of(one, "w", layer, factor)
        assert weight is not None
        assert not decoded(weight, one)[1].any()
    assert weight_of(shared(), "w", layer_of("dorefa", 4, "tensor"), factor) is None, "0 is no odd number"


def test_floats_and_half_floats() -> None:
    layer = nn.Conv2d(3, 4, 3)
    factor = np.array([0.5, -2.0, 0.0, 1.0])
    for half in (False, True):
        one = shared(half)
        weight = weight_of(one, "w", layer, factor)
        assert isinstance(weight, FloatWeight)
        own = layer.weight.detach().numpy()
        np.testing.assert_allclose(decoded(weight, one), own * factor.reshape(-1, 1, 1, 1), rtol=1e-3 if half else 1e-6)
        assert one.tensors["w.weight"].dtype == (np.float16 if half else np.float32)
        if half:
            np.testing.assert_array_equal(one.rounded["w"].numpy() * factor.reshape(-1, 1, 1, 1), decoded(weight, one))
            np.testing.assert_array_equal(one.rounded["w"][2].numpy(), own[2])
        else:
            assert not one.rounded


def test_what_float16_cannot_hold_stays_float32() -> None:
    one, layer = shared(half=True), nn.Conv2d(3, 4, 3)
    assert weight_of(one, "w", layer, np.array([1e7])) is not None
    assert one.tensors["w.weight"].dtype == np.float32


def test_a_foreign_offset_is_refused() -> None:
    codes = Codes(torch.zeros(1, dtype=torch.int32), torch.tensor(1.0), 4, signed=False, offset=torch.tensor(-7.0))
    with pytest.raises(OptionsError, match="not the middle of their levels"):
        is_odd(codes)
