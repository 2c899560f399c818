"""Shapes follow from the header, and so does what it asks of each tensor."""

from __future__ import annotations

import numpy as np
import pytest

from qsr.runtime.interpreter import Interpreter
from qsr.runtime.packed.shapes import SMALLEST, Use, infer, uses
from tests.runtime.packed.build import METHODS, conv_net, swin_net


@pytest.mark.parametrize("net", [conv_net("w2a2", 6, 1, 4), conv_net("fp", 6, 1, 3, "msr"), swin_net(features=4)])
def test_values_have_the_shapes_that_running_gives_them(net) -> None:
    header, tensors = net
    values = infer(header, header.programs[0])
    shapes = {}
    run = Interpreter(header, tensors, header.programs[0])
    run.run(np.zeros((8, 4, 3), np.uint8), trace=lambda number, op, value, sums: shapes.update({number: value.shape}))
    assert [shapes[number] for number in range(len(values))] == [(8 * f, 4 * f, c) for c, f in values]


@pytest.mark.parametrize("method", [*METHODS, "w1a1c", "w1a1m", "w4a4o"])
@pytest.mark.parametrize("make", [conv_net, swin_net])
def test_uses_cover_every_tensor_with_its_shape(make, method: str) -> None:
    header, tensors = make(method, features=4)
    program = header.programs[0]
    found: dict[str, Use] = {}
    for number, (op, value) in enumerate(zip(program.ops, infer(header, program))):
        found |= {use.tensor: use for use in uses(op, value, f"ops[{number}]")}
    assert found.keys() == tensors.keys()
    for name, use in found.items():
        assert tensors[name].shape == use.shape
        assert tensors[name].dtype.name in use.dtypes
        assert (use.rule == "codes") == (tensors[name].dtype == np.uint8)


def test_what_is_divided_by_has_a_finite_inverse() -> None:
    assert np.isfinite(1 / np.float32(SMALLEST))
    assert np.float32(SMALLEST) == np.finfo(np.float32).tiny
