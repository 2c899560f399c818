"""JSON that somebody else may have written: of bounded size and depth, and whatever is wrong with it is a ValueError.

Who reads says what the file should have been, in an error of its own kind. Packed networks have their own, stricter reader.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

MAX_JSON = 64 << 20  # bytes; the manifest of 300,000 pictures has as many


def read_json(path: Path | str, parse_constant: Callable[[str], Any] | None = None) -> Any:
    """The value in a file. Raises OSError, and ValueError for more than MAX_JSON bytes and what is no JSON in UTF-8."""
    with open(path, "rb") as handle:
        data = handle.read(MAX_JSON + 1)
    if len(data) > MAX_JSON:
        raise ValueError(f"found more than {MAX_JSON:,} bytes, and no file of ours is as large")
    return parse_json(data.decode(), parse_constant)


def parse_json(text: str, parse_constant: Callable[[str], Any] | None = None) -> Any:
    """The value of a text; ValueError also where it is nested deeper than Python counts.

    >>> parse_json('{"a": 1}')
    {'a': 1}
    """
    try:
        return json.loads(text, parse_constant=parse_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None
