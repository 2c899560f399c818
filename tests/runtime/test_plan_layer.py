"""Which arithmetic a layer gets, and the factors that make its integer sums the layer's output."""

from __future__ import annotations

import numpy as np
import pytest

from qsr.runtime.packed.codes import dense
from qsr.runtime.packed.ops import Conv, SignAct, UniformAct
from qsr.runtime.plan_layer import layer_of, levels, per_channel, sink_key, sink_of
from tests.runtime.packed.build import Builder


def conv_of(method: str) -> tuple[Conv, Builder]:
    b = Builder(method)
    op = b.ops[b.conv(0, "conv", 3, 5)]
    assert isinstance(op, Conv)
    return op, b


@pytest.mark.parametrize(
    ("method", "format", "quantize"),
    [
        ("w1a1", "bits", False),
        ("w1a1x2", "bits", False),
        ("w1a1m", "bits", False),
        ("w1a1c", "float", True),
        ("w4a1", "float", True),
        ("w1a2", "bytes", False),
        ("w4a4", "bytes", False),
        ("w4a4w", "float", False),
        ("fp", "float", False),
    ],
)
def test_arithmetic(method: str, format: str, quantize: bool) -> None:
    op, b = conv_of(method)
    layer = layer_of(op, b.tensors)
    assert (layer.format, layer.quantize) == (format, quantize)
    assert layer.planes == (2 if method == "w1a1x2" else 1)


@pytest.mark.parametrize("method", ["w1a1x2", "w2a2", "w4a4o", "w1a2", "w8a8"])
def test_weights_times_scale_are_the_layers_weights(method: str) -> None:
    op, b = conv_of(method)
    layer = layer_of(op, b.tensors)
    step = op.act.step if isinstance(op.act, UniformAct) else 1.0
    assert layer.scale is not None
    made = (layer.weights * layer.scale[:, :, None, None, None]).sum(0)
    assert np.allclose(made, dense(op, b.tensors) * step, rtol=1e-5)
    assert layer.ranges[2] <= layer.weights.min()
    assert layer.weights.max() <= layer.ranges[3]


def test_an_offset_of_the_input_is_a_bias_that_borders_lose() -> None:
    op, b = conv_of("w2a2f")
    layer = layer_of(op, b.tensors)
    taps = dense(op, b.tensors).sum(1).reshape(5, 9).T * -0.3
    assert layer.edge is not None
    assert np.allclose(layer.edge, taps, atol=1e-6)
    assert np.allclose(layer.bias, b.tensors["conv.bias"] + taps.sum(0), atol=1e-6)


def test_levels() -> None:
    assert levels(UniformAct(4, True, 1.0)) == (-8, 7)
    assert levels(UniformAct(4, True, 1.0, narrow=True)) == (-7, 7)
    assert levels(UniformAct(4, False, 1.0, narrow=True)) == (0, 15)


def test_inputs_are_quantized_alike_whatever_their_scale_is_called() -> None:
    shift = {"s": np.ones(3, np.float32), "t": np.ones(3, np.float32), "u": np.zeros(3, np.float32)}
    assert sink_key(SignAct("s", 2.0), 3, shift) == sink_key(SignAct("t", "mean"), 3, shift) == sink_key(SignAct(1.0), 3, shift)
    assert sink_key(SignAct("s"), 3, shift) != sink_key(SignAct(), 3, shift)
    assert sink_key(UniformAct(2, False, 0.5), 3, shift) != sink_key(UniformAct(2, False, 0.25), 3, shift)
    assert "shift" not in sink_of(SignAct("u"), 3, shift)


def test_a_scale_per_channel_is_no_factor() -> None:
    assert per_channel(SignAct(0.0, "name"))
    assert not any(
        per_channel(act) for act in (SignAct(0.0, "mean"), SignAct(0.0, "spatial"), SignAct(), UniformAct(2, False, 1.0))
    )
