"""Tensors that contradict the header: each refused with the tensor's or the layer's name."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from qsr.errors import FormatError
from qsr.export.check import check_tensors
from qsr.export.header import PackedLayer
from qsr.runtime import pack_bits

FIRST = "body.0.conv1"


def plain_layer(**values: Any) -> PackedLayer:
    entry = {"name": "l", "kind": "linear", "shape": (2, 3), "stride": None, "padding": None, "w_bits": 2, "w_narrow": False}
    return PackedLayer(**{**entry, "a_bits": 2, "a_signed": False, "a_narrow": False, **values})


def test_codes_come_back(parts) -> None:
    tensors, header = parts
    codes = check_tensors(header, tensors)
    assert codes.keys() == {layer.name for layer in header.layers}
    assert codes[FIRST].shape == (5, 5, 3, 3)
    assert codes[FIRST].dtype == np.int8


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        (f"{FIRST}.weight.codes", np.zeros(84, np.uint8), "found uint8 [84], expected uint8 [85]"),
        (f"{FIRST}.weight.codes", np.zeros(85, np.float32), "found float32 [85], expected uint8 [85]"),
        (f"{FIRST}.weight.codes", np.full(85, 255, np.uint8), "padding bits"),
        (f"{FIRST}.weight.scale", np.float32(0), "expected a positive scale"),
        (f"{FIRST}.weight.scale", np.float32(np.nan), "NaN or Inf"),
        (f"{FIRST}.weight.scale", np.ones(4, np.float32), "expected float32 [] or [5]"),
        (f"{FIRST}.act.scale", np.float32(-1), "expected a positive scale"),
        (f"{FIRST}.act.scale", np.ones(5, np.float32), "expected float32 []"),
        (f"{FIRST}.act.shift", np.full(5, np.inf, np.float32), "NaN or Inf"),
        (f"{FIRST}.act.shift", np.zeros(4, np.float32), "expected float32 [5]"),
        (f"{FIRST}.bias", np.full(5, np.nan, np.float32), "NaN or Inf"),
        (f"{FIRST}.bias", np.zeros(6, np.float32), "expected float32 [5]"),
        ("conv_last.weight", np.zeros((3, 5, 3, 3), np.uint8), "belongs to no layer"),
        ("conv_last.weight", np.zeros((3, 5, 3, 1), np.float32), "of another shape"),
        ("stranger", np.zeros(3, np.float32), "unexpected (stranger)"),
        ("body.order", np.array([0, 0]), "each block's number once"),
        ("body.order", np.full((2, 2), -1), "each block's number once"),
    ],
)
def test_wrong_tensors(name: str, value: Any, said: str, parts, refused) -> None:
    tensors, header = parts
    message = refused({**tensors, name: np.asarray(value)}, header.to_text())
    assert said in message
    assert name in message


def test_every_tensor_is_needed(parts, refused) -> None:
    tensors, header = parts
    for name in tensors:
        assert name in refused({other: value for other, value in tensors.items() if other != name}, header.to_text())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "linear"}, "expected 2 numbers for kind 'linear'"),
        ({"kind": "operand"}, "expected 0 numbers for kind 'operand'"),
        ({"stride": None}, "stride None, expected a number"),
        ({"stride": 2}, "stride 2 instead of 1"),
        ({"padding": 0}, "padding 0 instead of 1"),
        ({"w_bits": 4}, "weight.codes: found uint8"),
        ({"w_bits": 32, "a_bits": 32, "a_signed": False}, "do not go with kind"),
        ({"a_bits": 5}, "a_bits 5 instead of 4"),
        ({"a_bits": 32, "a_signed": True}, "false where there are no codes"),
        ({"a_narrow": True}, "a_narrow True instead of False"),
        ({"w_narrow": True}, "w_narrow"),
        ({"w_bits": 32, "w_narrow": True}, "false where there are no codes"),
        ({"shape": [5, 5, 9, 1]}, "shape"),
        ({"shape": [5, 5, 3, 3, 1]}, "expected 4 numbers"),
        ({"shape": [2**40, 2**40, 3, 3]}, "could overflow"),
        ({"name": "body.0.conv3"}, "body.0.conv3.weight.codes: missing"),
        ({"name": "body.0.conv2"}, "listed twice"),
    ],
)
def test_wrong_layer_entries(change: dict[str, Any], said: str, parts, refused) -> None:
    plain = json.loads(parts[1].to_text())
    plain["layers"][0] |= change
    assert said in refused(parts[0], plain)


def test_layers_left_out_or_swapped(parts, refused) -> None:
    plain = json.loads(parts[1].to_text())
    first, *rest = plain["layers"]
    assert FIRST in refused(parts[0], plain | {"layers": rest})
    assert "not in the network's order" in refused(parts[0], plain | {"layers": [*rest, first]})


def test_accumulator_is_exact_up_to_the_last_term(parts) -> None:
    """8-bit codes: 255 * 128 * K <= 2^31 - 1 up to K = 65793, and not one more."""
    for terms, fits in ((65793, True), (65794, False)):
        layer = plain_layer(shape=(1, terms), w_bits=8, a_bits=8)
        header = parts[1].model_copy(update={"layers": (layer,)})
        tensors = {"l.weight.codes": np.zeros(terms, np.uint8), "l.weight.scale": np.float32(1), "l.act.scale": np.float32(1)}
        tensors = {name: np.asarray(value) for name, value in tensors.items()}
        if fits:
            assert check_tensors(header, tensors)["l"].shape == (1, terms)
        else:
            with pytest.raises(FormatError, match=r"layers: l: shape \[1, 65794\]: int32 accumulator"):
                check_tensors(header, tensors)


def test_an_operand_has_a_scale_and_nothing_else(parts) -> None:
    layer = plain_layer(kind="operand", shape=(), w_bits=32)
    header = parts[1].model_copy(update={"layers": (layer,)})
    tensors = {"l.act.scale": np.ones((), np.float32)}
    assert check_tensors(header, tensors) == {}
    with pytest.raises(FormatError, match=r"l\.act\.shift: an operand of a product has no shift"):
        check_tensors(header, tensors | {"l.act.shift": np.zeros((), np.float32)})


def test_narrow_codes_leave_out_the_lowest_level(parts) -> None:
    tensors, header = parts
    tensors = tensors | {f"{FIRST}.weight.codes": pack_bits(np.resize([-4, 3], 225), 3, signed=True)}
    assert check_tensors(header, tensors)[FIRST].min() == -4
    narrow = header.model_copy(update={"layers": (header.layers[0].model_copy(update={"w_narrow": True}), *header.layers[1:])})
    with pytest.raises(FormatError, match=r"body\.0\.conv1\.weight\.codes: found code -4, expected -3 or more"):
        check_tensors(narrow, tensors)
