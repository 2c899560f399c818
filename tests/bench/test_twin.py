"""The twins that peers run: the same architecture, nothing quantized, or 8 bits everywhere."""

from __future__ import annotations

import numpy as np
import pytest

from qsr.bench.twin import fp32, int8, macs
from qsr.runtime.interpreter import Interpreter
from qsr.runtime.packed.ops import Conv, Depthwise, Swin
from tests.runtime.packed.build import conv_net, mixer_net, swin_net


@pytest.mark.parametrize("method", ["w2a2", "w1a1x2", "fp"])
def test_the_fp32_twin_has_the_values_of_the_weights_and_quantizes_nothing(method: str):
    header, tensors = conv_net(method, features=8, blocks=1)
    twin, kept = fp32(header, tensors, header.programs[0])
    ops = [op for op in twin.programs[0].ops if isinstance(op, Conv)]
    assert [op.name for op in ops] == [op.name for op in header.programs[0].ops if isinstance(op, Conv)]
    assert all(op.act is None and op.weight.kind == "float" for op in ops)
    picture = np.random.default_rng(0).random((5, 6, 3), np.float32)
    result = Interpreter(twin, kept, twin.programs[0]).run(picture)
    assert result.shape == (10, 12, 3)
    if method == "fp":
        assert np.array_equal(result, Interpreter(header, tensors, header.programs[0]).run(picture))


def test_the_int8_twin_stays_near_the_fp32_twin():
    header, tensors = conv_net("w2a2", features=8, blocks=1)
    picture = np.random.default_rng(1).random((9, 8, 3), np.float32)
    full, eight = fp32(header, tensors, header.programs[0]), int8(header, tensors, header.programs[0])
    convs = [op for op in eight[0].programs[0].ops if isinstance(op, Conv)]
    assert all(op.weight.kind == "uniform" and op.weight.bits == 8 and op.act.bits == 8 for op in convs)
    a, b = (Interpreter(*twin, twin[0].programs[0]).run(picture) for twin in (full, eight))
    assert 0 < np.abs(a - b).max() < 0.1 * np.abs(a).max() + 0.05


def test_attention_becomes_full_precision_too():
    header, tensors = swin_net("w4a4")
    twin, kept = fp32(header, tensors, header.programs[0])
    layers = [op for op in twin.programs[0].ops if isinstance(op, Swin)]
    assert layers
    assert all(op.operands is None and op.qkv.act is None and op.fc2.weight.kind == "float" for op in layers)
    assert np.isfinite(Interpreter(twin, kept, twin.programs[0]).run(np.zeros((4, 4, 3), np.float32))).all()


def test_the_published_complexity_of_the_x4_network_is_counted():
    header, _ = conv_net("w2a2", features=64, blocks=16, scale=4, layout="msr")
    assert macs(header.programs[0], 320 * 180) / 1e9 == pytest.approx(146.08, abs=0.01)  # performance of the field's table


def test_attention_is_counted_by_hand():
    header, _ = swin_net("w4a4", features=12, layers=2, window=4)
    swin = 12 * 36 + 12 * 12 + 2 * 12 * 24 + 2 * 16 * 12
    convs = sum(op.c_in * op.c_out * 9 for op in header.programs[0].ops if isinstance(op, Conv))
    assert macs(header.programs[0], 100) == 100 * (2 * swin + convs)


def test_depthwise_convolutions_are_counted_by_hand_and_widened_to_float32():
    header, tensors = mixer_net("w1a1", features=8, blocks=1)
    program = header.programs[0]
    convs = sum(op.c_in * op.c_out * op.kernel[0] * op.kernel[1] for op in program.ops if isinstance(op, Conv))
    assert macs(program, 10) == 10 * (convs + 8 * 9)
    deep = next(op for op in program.ops if isinstance(op, Depthwise))
    half = {**tensors, deep.weight.tensor: tensors[deep.weight.tensor].astype(np.float16)}
    twin, kept = fp32(header, half, program)
    wide = next(op for op in twin.programs[0].ops if isinstance(op, Depthwise))
    assert kept[wide.weight.tensor].dtype == np.float32
    assert np.array_equal(kept[wide.weight.tensor], half[deep.weight.tensor])
