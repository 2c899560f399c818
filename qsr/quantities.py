"""What people type for quantities on the command line: 250K parameters, a picture of 320x180."""

from __future__ import annotations

import re

from qsr.errors import OptionsError

AMOUNT = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([KMGT]?)\s*", re.IGNORECASE)
POWERS = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
SIZE = re.compile(r"\s*([1-9]\d{0,5})\s*x\s*([1-9]\d{0,5})\s*", re.IGNORECASE)
LARGEST = 65536


def amount(text: str, option: str) -> float:
    """A number with an optional K, M, G or T. Raises OptionsError that names `option`.

    >>> amount("250K", "--params-max"), amount("1.5g", "--ops-max")
    (250000.0, 1500000000.0)
    """
    match = AMOUNT.fullmatch(text)
    if match is None:
        raise OptionsError(f"found {text!r}, expected a number, with K, M, G or T if you like (250K)", where=option)
    return float(match[1]) * POWERS[match[2].upper()]


def picture_size(text: str, option: str = "--size") -> tuple[int, int]:
    """(width, height) of an LR picture, 1 to 65536 each, written as everywhere in the field. Raises OptionsError.

    >>> picture_size("320x180")
    (320, 180)
    """
    match = SIZE.fullmatch(text)
    if match is None or max(int(match[1]), int(match[2])) > LARGEST:
        raise OptionsError(f"found {text!r}, expected WIDTHxHEIGHT of the LR picture, for instance 320x180", where=option)
    return int(match[1]), int(match[2])
