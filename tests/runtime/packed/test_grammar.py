"""Each operation's keys, read back from what text.py writes of it."""

from __future__ import annotations

import dataclasses
import typing

import pytest
from hypothesis import given

from qsr.errors import FormatError
from qsr.runtime.packed import grammar, ops
from qsr.runtime.packed.parts import Part
from qsr.runtime.packed.text import _plain
from tests.runtime.packed.build import conv_net, mixer_net, swin_net
from tests.runtime.packed.strategies import any_op

EXAMPLES = {type(op): op for make in (conv_net, mixer_net, swin_net) for op in make(features=4)[0].programs[0].ops}
EXAMPLES |= {type(op): op for op in conv_net(features=4, layout="msr")[0].programs[0].ops}
EXAMPLES |= {ops.Quantize: ops.Quantize((0,), ops.SignAct())}


@given(any_op)
def test_an_operation_comes_back(op) -> None:
    assert grammar.read_op(Part(_plain(op), "op")) == op


def test_every_operation_has_its_reader() -> None:
    assert grammar.OPS.keys() == {kind.op for kind in typing.get_args(ops.Op)}
    assert grammar.WEIGHTS.keys() == {kind.kind for kind in typing.get_args(ops.Weight)}
    assert grammar.ACTS.keys() == {kind.kind for kind in typing.get_args(ops.Act)}
    assert grammar.MAPS.keys() == {"uniform", "elastic"}


@pytest.mark.parametrize("kind", typing.get_args(ops.Op), ids=lambda kind: kind.op)
def test_no_field_is_forgotten(kind) -> None:
    """A key for each field of the dataclass, each of them needed."""

    class Recorder(Part):
        def take(self, key: str):
            asked.add(key)
            return super().take(key)

    asked: set[str] = set()
    example = EXAMPLES[kind]
    grammar.read_op(Recorder(_plain(example), "op"))
    assert asked == {field.name for field in dataclasses.fields(kind)} | {"op"}


def test_a_depthwise_weight_has_no_codes() -> None:
    example = _plain(EXAMPLES[ops.Depthwise])
    with pytest.raises(FormatError, match=r"x.weight.kind: unknown 'sign' \(this qsr knows float\)"):
        grammar.read_op(Part(example | {"weight": {"kind": "sign", "tensor": "w", "scale": [1.0]}}, "x"))
    for kernel in ([2, 3], [3, 0], [3, 17], [3]):
        with pytest.raises(FormatError, match="x.kernel: found"):
            grammar.read_op(Part(example | {"kernel": kernel}, "x"))
    with pytest.raises(FormatError, match="x.channels: found 4097"):
        grammar.read_op(Part(example | {"channels": 4097}, "x"))


@pytest.mark.parametrize("kind", ["repeat", "average"])
@pytest.mark.parametrize("factor", [0, 1, 9, 2.0, "2"])
def test_channels_are_repeated_two_to_eight_times(kind: str, factor: object) -> None:
    with pytest.raises(FormatError, match="x.factor: found .*, expected 2 to 8"):
        grammar.read_op(Part({"op": kind, "inputs": [0], "factor": factor}, "x"))


def test_an_unknown_operation() -> None:
    with pytest.raises(FormatError, match=r"x.op: unknown 'deconv' \(did you mean 'conv'\?\)"):
        grammar.read_op(Part({"op": "deconv"}, "x"))
    with pytest.raises(FormatError, match=r"x.op: unknown 'zzz' \(this qsr knows image, affine, conv"):
        grammar.read_op(Part({"op": "zzz"}, "x"))
