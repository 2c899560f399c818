"""A Swin layer's description holds all that its operation says, in the types that the extension takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qsr.runtime.packed.ops import Swin
from qsr.runtime.plan_swin import describe
from tests.runtime.packed.build import swin_net


def described(method: str) -> tuple[Swin, dict[str, Any]]:
    header, tensors = swin_net(method, layers=2, proj_skip=True)
    op = [op for op in header.programs[0].ops if isinstance(op, Swin)][1]
    return op, describe(op, tensors)


@pytest.mark.parametrize(("method", "kind"), [("fp", np.float32), ("w4a4", np.int16), ("w1a1x2", np.int8)])
def test_weights(method: str, kind: type) -> None:
    op, made = described(method)
    for key in ("qkv", "proj", "fc1", "fc2"):
        layer = getattr(op, key)
        weight = made[key]["weight"]
        assert weight.dtype == kind
        assert weight.shape[-2:] == (layer.c_out, layer.c_in)
        assert ("scale" in made[key]) == (method != "fp")
        assert made[key]["bias"].shape == (layer.c_out,)
    assert made["qkv"].get("scale", np.zeros(0)).size == {"fp": 0, "w4a4": 36, "w1a1x2": 72}[method]


def test_numbers_of_the_layer() -> None:
    op, made = described("w4a4")
    assert (made["shift"], made["window"], made["heads"], made["channels"]) == (2, 4, 2, 12)
    assert made["proj_skip"] is True
    assert made["gain1"] == op.gain1
    assert made["table"].shape == (49, 2)


def test_inputs() -> None:
    _, uniform = described("w4a4")
    assert uniform["qkv"]["act"]["kind"] == "uniform"
    assert (uniform["qkv"]["act"]["lowest"], uniform["qkv"]["act"]["highest"]) == (0, 15)
    assert uniform["operands"]["map"]["kind"] == "uniform"
    _, sign = described("w1a1")
    assert sign["operands"]["q"]["mean"] is True
    assert sign["operands"]["map"]["scales"].shape == (2,)
    assert sign["qkv"]["act"]["scale"] == 1.0
    _, channels = described("w1a1c")
    assert channels["fc1"]["act"]["scales"].shape == (12,)
    assert "operands" not in described("fp")[1]
