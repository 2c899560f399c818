"""The vocabulary: frozen, told apart by name, and every value plain."""

from __future__ import annotations

import dataclasses
import typing

import pytest

from qsr.runtime.packed import ops

KINDS = [*typing.get_args(ops.Op), *typing.get_args(ops.Weight), *typing.get_args(ops.Act), ops.ElasticAct]


@pytest.mark.parametrize("kind", [*KINDS, ops.Linear, ops.Operands, ops.Program, ops.PackedHeader])
def test_nothing_can_be_changed(kind: type) -> None:
    assert dataclasses.is_dataclass(kind)
    assert kind.__dataclass_params__.frozen


def test_names_are_unique() -> None:
    for family, key in (
        (typing.get_args(ops.Op), "op"),
        (typing.get_args(ops.Weight), "kind"),
        (typing.get_args(ops.Act), "kind"),
    ):
        names = [getattr(kind, key) for kind in family]
        assert len(set(names)) == len(names)


def test_planes() -> None:
    assert ops.SignWeight("w", ("a", 0.5)).planes == 2
