"""A JSON object taken apart key by key, each asked for by name, type and range; what is left over is refused.

>>> part = Part({"factor": 2, "color": 1}, "ops[1]")
>>> part.integer("factor", 2, 8)
2
>>> part.done()
Traceback (most recent call last):
    ...
qsr.errors.FormatError: ops[1].color: unknown key
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Callable
from typing import Any, TypeVar

from qsr.errors import FormatError
from qsr.runtime.packed.ops import Vector

MAX_NAME = 256
TOO_LARGE = "no packed network is as large"  # a hint: these limits are the format's, nothing raises them
LARGEST = 3.4028234e38  # float32's

Result = TypeVar("Result")


class Part:
    """One JSON object being taken apart. `at`: its path, for messages. Every method raises FormatError naming key and value."""

    def __init__(self, value: Any, at: str) -> None:
        if not isinstance(value, dict):
            raise FormatError(f"{at}: found {_shown(value)}, expected an object")
        self.at = "" if at == "metadata" else at
        self._left = dict(value)
        self._taken: list[str] = []

    def where(self, key: str) -> str:
        return f"{self.at}.{key}" if self.at else key

    def fault(self, key: str, value: Any, expected: str) -> FormatError:
        return FormatError(f"{self.where(key)}: found {_shown(value)}, expected {expected}")

    def take(self, key: str) -> Any:
        if key not in self._left:
            raise FormatError(f"{self.where(key)}: missing")
        self._taken.append(key)
        return self._left.pop(key)

    def done(self) -> None:
        """Refuse keys that nobody asked for."""
        for key in self._left:
            near = difflib.get_close_matches(key, self._taken, n=1)
            raise FormatError(
                f"{self.where(key[:80])}: unknown key", hint=f"like {near[0]!r}, which is there too" if near else None
            )

    # --- values -----------------------------------------------------------------------------------------------------
    def integer(self, key: str, low: int, high: int) -> int:
        value = self.take(key)
        if type(value) is not int or not low <= value <= high:
            raise self.fault(key, value, f"{low} to {high}" if low < high else str(low))
        return value

    def integer_or_none(self, key: str, low: int, high: int) -> int | None:
        if key in self._left and self._left[key] is None:
            self.take(key)
            return None
        return self.integer(key, low, high)

    def number(self, key: str) -> float:
        return self._number(key, self.take(key))

    def flag(self, key: str) -> bool:
        value = self.take(key)
        if type(value) is not bool:
            raise self.fault(key, value, "true or false")
        return value

    def text(self, key: str) -> str:
        return self._text(key, self.take(key))

    def text_or_none(self, key: str) -> str | None:
        value = self.take(key)
        return None if value is None else self._text(key, value)

    def vector(self, key: str) -> Vector:
        return self._vector(key, self.take(key))

    def mapping(self, key: str) -> dict[str, Any]:
        value = self.take(key)
        if not isinstance(value, dict):
            raise self.fault(key, value, "an object")
        return value

    # --- several of them --------------------------------------------------------------------------------------------
    def numbers(self, key: str, count: int, high: int) -> tuple[int, ...]:
        """`count` integers from 0 to `high`."""
        value = self.take(key)
        if type(value) is not list or len(value) != count or any(type(n) is not int or not 0 <= n <= high for n in value):
            raise self.fault(key, value, f"a list of {count} integers from 0 to {high}")
        return tuple(value)

    def two_names(self, key: str) -> tuple[str, str]:
        value = self.take(key)
        if type(value) is not list or len(value) != 2:
            raise self.fault(key, value, "a list of two names")
        return self._text(f"{key}[0]", value[0]), self._text(f"{key}[1]", value[1])

    def vectors(self, key: str, most: int) -> tuple[Vector, ...]:
        value = self._list(key, 1, most)
        return tuple(self._vector(f"{key}[{number}]", item) for number, item in enumerate(value))

    def several(self, key: str, read: Callable[[Part], Result], least: int, most: int) -> tuple[Result, ...]:
        value = self._list(key, least, most)
        return tuple(read(Part(item, f"{self.where(key)}[{number}]")) for number, item in enumerate(value))

    def inner(self, key: str, read: Callable[[Part], Result]) -> Result:
        return read(Part(self.take(key), self.where(key)))

    def inner_or_none(self, key: str, read: Callable[[Part], Result]) -> Result | None:
        value = self.take(key)
        return None if value is None else read(Part(value, self.where(key)))

    # --- one value --------------------------------------------------------------------------------------------------
    def _list(self, key: str, least: int, most: int) -> list[Any]:
        value = self.take(key)
        if type(value) is not list or not least <= len(value) <= most:
            raise self.fault(key, value, f"a list of {least} to {most}")
        return value

    def _number(self, key: str, value: Any) -> float:
        # compared first: an integer of a thousand digits is no float
        if type(value) not in (int, float) or not -LARGEST <= value <= LARGEST or math.isnan(value):
            raise self.fault(key, value, "a number that fits into float32")
        return float(value)

    def _text(self, key: str, value: Any) -> str:
        # printable: names reach people's terminals
        if type(value) is not str or not 1 <= len(value) <= MAX_NAME or not value.isprintable():
            raise self.fault(key, value, f"a printable name of 1 to {MAX_NAME} characters")
        return value

    def _vector(self, key: str, value: Any) -> Vector:
        return self._text(key, value) if type(value) is str else self._number(key, value)


def _shown(value: Any) -> str:
    """A foreign value in a message: JSON, short, ASCII."""
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}: {json.dumps(value)[:60]}"
    return json.dumps(value)[:60]
