"""Codes, the registry and the check of a method's settings."""

from __future__ import annotations

import pytest
import torch

from qsr.errors import OptionsError
from qsr.quant import base
from qsr.quant.lsq import LSQ
from qsr.quant.rlq import RLQ
from qsr.spec import METHODS, QuantSpec


@pytest.mark.parametrize(
    ("bits", "signed", "narrow", "expected"),
    [
        (2, True, False, (-2, 1)),
        (2, True, True, (-1, 1)),
        (2, False, True, (0, 3)),
        (8, True, False, (-128, 127)),
        (8, False, False, (0, 255)),
    ],
)
def test_level_range(bits: int, signed: bool, narrow: bool, expected: tuple[int, int]) -> None:
    assert base.level_range(bits, signed, narrow) == expected


def test_an_offset_is_what_code_0_stands_for() -> None:
    codes = base.Codes(torch.tensor([0, 3], dtype=torch.int32), torch.tensor(0.5), 2, False, offset=torch.tensor(-0.75))
    assert codes.decode().tolist() == [-0.75, 0.75]


def test_codes_know_their_range_and_value() -> None:
    codes = base.Codes(torch.tensor([-2, 0, 1], dtype=torch.int32), torch.tensor(0.25), bits=2, signed=True)
    assert (codes.qmin, codes.qmax) == (-2, 1)
    assert codes.decode().tolist() == [-0.5, 0.0, 0.25]
    assert codes.decode().dtype == torch.float32


def test_every_registered_method_is_a_quantizer() -> None:
    for name in METHODS:
        assert issubclass(base.method_class(name), base.Quantizer)
    assert (base.method_class("rlq"), base.method_class("lsq")) == (RLQ, LSQ)


def test_an_unknown_method_names_the_nearest() -> None:
    with pytest.raises(OptionsError, match="did you mean 'rlq'"):
        base.method_class("rlqq")


@pytest.mark.parametrize(
    ("spec", "role", "message"),
    [
        (QuantSpec("lsq", 4, params=(("kk", 1),)), "act", "no setting 'kk'"),
        (QuantSpec("lsq", 4, params=(("k", 1.0),)), "act", "it has: init"),
        (QuantSpec("rlq", 4, params=(("shfit", True),)), "act", "did you mean 'shift'"),
        (QuantSpec("rlq", 4, params=(("shift", True),)), "weight", "for role 'weight'"),
        (QuantSpec("lsq", 4, params=(("init", "mean"),)), "weight", "found init = 'mean', expected 'lsq' or 'max'"),
        (QuantSpec("lsq", 1), "weight", "found 1 bits for role 'weight', expected 2 to 8"),
        (QuantSpec("lsq", 4, "channel"), "act", "one step size per tensor"),
    ],
)
def test_a_wrong_spec_says_what_is_allowed(spec: QuantSpec, role: base.Role, message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        base.create(spec, role, 3, 1)


def test_stored_bits_counts_codes_and_parameters() -> None:
    assert base.create(QuantSpec("lsq", 2), "weight", 8, 0).stored_bits(100) == 200 + 32
    assert base.create(QuantSpec("lsq", 2, "channel"), "weight", 8, 0).stored_bits(100) == 200 + 8 * 32


def test_the_base_class_asks_for_a_method() -> None:
    quantizer = base.Quantizer(QuantSpec("lsq", 4), "act")
    with pytest.raises(NotImplementedError):
        quantizer(torch.zeros(1))
    assert "lsq, act, bits=4" in repr(quantizer)
