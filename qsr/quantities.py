"""What people type for quantities: 250K parameters, a picture of 320x180, a limit that an environment variable raises."""

from __future__ import annotations

import os
import re

from qsr.errors import OptionsError

AMOUNT = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([KMGT]?)\s*", re.IGNORECASE)
POWERS = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
SIZE = re.compile(r"\s*([1-9]\d{0,5})\s*x\s*([1-9]\d{0,5})\s*", re.IGNORECASE)
MAX_SIDE = 65536


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
    if match is None or max(int(match[1]), int(match[2])) > MAX_SIDE:
        raise OptionsError(
            f"found {text!r}, expected WIDTHxHEIGHT of the LR picture, at most {MAX_SIDE}, for instance 320x180", where=option
        )
    return int(match[1]), int(match[2])


def raised(limit: int, variable: str, most: int) -> int:
    """`limit`, or what the environment says instead: a whole number from 1 to `most`. Raises OptionsError.

    >>> raised(100, "QSR_NOT_SET", 1000)
    100
    """
    text = os.environ.get(variable, "").replace("_", "").replace(",", "")
    if not text:
        return limit
    if not (text.isascii() and text.isdecimal()) or len(text) > 20 or not 1 <= int(text) <= most:
        raise OptionsError(f"found {os.environ[variable][:40]!r}, expected a whole number from 1 to {most:,}", where=variable)
    return int(text)
