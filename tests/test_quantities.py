"""Amounts and sizes as people type them."""

from __future__ import annotations

import math

import pytest

from qsr.errors import OptionsError
from qsr.quantities import amount, picture_size


@pytest.mark.parametrize(("text", "value"), [("250K", 250e3), ("1.5g", 1.5e9), (" 300 ", 300.0), (".5M", 5e5), ("2T", 2e12)])
def test_amount(text: str, value: float) -> None:
    assert math.isclose(amount(text, "--x"), value)


@pytest.mark.parametrize("text", ["", "K", "-3", "1e6", "3 apples", "nan"])
def test_amount_refuses(text: str) -> None:
    with pytest.raises(OptionsError, match="--params-max"):
        amount(text, "--params-max")


def test_a_size_is_width_and_height() -> None:
    assert picture_size("320x180") == (320, 180)
    assert picture_size(" 65536X1 ") == (65536, 1)


@pytest.mark.parametrize("text", ["320", "320x", "0x5", "320x180x3", "axb", "-1x5", "65537x1", "3.5x2", ""])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(OptionsError, match="--size.*WIDTHxHEIGHT"):
        picture_size(text)
