"""The header of a packed file as text, and back: JSON that is taken apart key by key.

Written by hand rather than with pydantic, whose import alone costs more than reading a whole network. The rules: every key
is there, no other is, nothing is converted (`"4"` is no number), nothing is named that could be opened or evaluated. The
same header always gives the same text, so that the same network gives the same bytes.

This file knows types and ranges of single values; whether they fit each other and the tensors is check.py's business.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from qsr.errors import FormatError
from qsr.runtime.packed.grammar import MAX_FACTOR, MAX_OPS, MAX_WINDOW, read_op
from qsr.runtime.packed.ops import PackedHeader, Program
from qsr.runtime.packed.parts import TOO_LARGE, Part

FORMAT = "qsr.packed/1"
OLD_FORMAT = "qsr.packed/0"
MAX_BYTES = 1 << 20
MAX_NESTING = 16
MAX_PROGRAMS = 16
MAX_FIELD = 1 << 16


def to_text(header: PackedHeader) -> str:
    """Canonical JSON: sorted keys, no spaces, ASCII. Raises ValueError for NaN or Inf."""
    data = {"format": FORMAT, **_plain(header)}
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)


def parse(text: str, where: str) -> PackedHeader:
    """The header that a text stands for.

    Raises FormatError with `where` and the path of the key: too long, no JSON, a key twice, missing or unknown, another
    version or operation, NaN or Inf, a value of another type or out of range.
    """
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        raise FormatError(f"metadata of {size} bytes, expected at most {MAX_BYTES}", where=where, hint=TOO_LARGE)
    data = strict_json(text, where)
    try:
        return _header(data)
    except FormatError as fault:
        raise FormatError(fault.message, where=where, hint=fault.hint) from None


def strict_json(text: str, where: str) -> Any:
    """JSON without duplicate keys, NaN, Infinity, or numbers too large for a float. Raises FormatError."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError(f"key {_repeated(pairs)[:80]!r} appears twice")
        return found

    def finite(digits: str) -> float:
        if math.isinf(value := float(digits)):
            raise ValueError(f"{digits[:40]} is too large for a number")
        return value

    def no_constant(name: str) -> Any:
        raise ValueError(f"{name} is no JSON number")

    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=no_constant, parse_float=finite)
    except (ValueError, RecursionError) as fault:
        raise FormatError(f"metadata is not JSON: {fault}", where=where) from fault


def _repeated(pairs: list[tuple[str, Any]]) -> str:
    """The first key that was there before. One pass: a header has room for a hundred thousand keys."""
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            return name
        seen.add(name)
    raise AssertionError("no key appears twice")


def _header(data: Any) -> PackedHeader:
    if not isinstance(data, dict):
        raise FormatError(f"metadata: found a {type(data).__name__}, expected an object")
    if data.get("format") != FORMAT:
        found = str(data.get("format"))[:40]
        hint = "export it again with this qsr" if found == OLD_FORMAT else "a newer qsr may read it"
        raise FormatError(f"format: found {found!r}, this qsr reads {FORMAT!r}", hint=hint)
    if _nesting(data) > MAX_NESTING:
        raise FormatError(f"metadata: nested deeper than {MAX_NESTING} levels", hint=TOO_LARGE)
    part = Part(data, "metadata")
    part.take("format")
    header = PackedHeader(
        scale=part.integer("scale", 1, MAX_FACTOR),
        programs=part.several("programs", _program, 1, MAX_PROGRAMS),
        receptive_field=part.integer_or_none("receptive_field", 0, MAX_FIELD),
        window=part.integer("window", 1, MAX_WINDOW),
        whole_picture=part.flag("whole_picture"),
        network=_descriptions(part.mapping("network")),
        protocol=part.text_or_none("protocol"),
        metrics=part.mapping("metrics"),
        provenance=part.mapping("provenance"),
        channels=part.integer("channels", 3, 3),
    )
    part.done()
    return header


def _program(part: Part) -> Program:
    program = Program(
        ops=part.several("ops", read_op, 2, MAX_OPS),
        depth=part.integer_or_none("depth", 0, MAX_OPS),
    )
    part.done()
    return program


def _descriptions(found: dict[str, Any]) -> dict[str, str | int | float | bool | None]:
    for key, value in found.items():
        if isinstance(value, dict | list):
            raise FormatError(f"network.{key[:80]}: found a {type(value).__name__}, expected a plain value")
    return found


def _plain(value: Any) -> Any:
    """Dataclasses as objects, with the `op` or `kind` that tells them apart; tuples as lists."""
    if is_dataclass(value):
        names = {name: getattr(value, name) for name in ("op", "kind") if hasattr(value, name)}
        return names | {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _nesting(value: Any) -> int:
    """Levels of objects and arrays; a loop, because what it measures may be deeper than Python's stack."""
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        item, level = waiting.pop()
        children = item.values() if isinstance(item, Mapping) else item if isinstance(item, list) else None
        if children is not None:
            deepest = max(deepest, level)
            waiting += [(child, level + 1) for child in children if isinstance(child, dict | list)]
    return deepest
