"""The container of a packed file by docs/format.md, for packed_checker.py: JSON without liberties, tensors without gaps."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import numpy as np

KINDS = {"U8": "u1", "F16": "<f2", "F32": "<f4"}


class Refused(Exception):
    """Why this is no packed file."""


def need(condition: bool, why: str) -> None:
    if not condition:
        raise Refused(why)


def container(content: bytes) -> tuple[dict[str, Any], bytes]:
    need(8 <= len(content) <= 1 << 29, "shorter than its header")
    (length,) = struct.unpack("<Q", content[:8])
    need(length <= len(content) - 8, "shorter than its header")
    need(length <= 8 << 20 and content[8:9] == b"{", "no header")
    need(content.count(b",", 8, 8 + length) < 1 << 17, "too many entries")
    try:
        table = strict(content[8 : 8 + length].decode("utf-8"))
    except UnicodeDecodeError:
        raise Refused("header is no UTF-8") from None
    need(isinstance(table, dict), "header is no object")
    return table, content[8 + length :]


def strict(text: str) -> Any:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        need(len({key for key, _ in items}) == len(items), "a key twice")
        return dict(items)

    def number(digits: str) -> float:
        need(math.isfinite(float(digits)), "a number too large")
        return float(digits)

    def constant(name: str) -> Any:
        raise Refused(f"{name} is no JSON")

    try:
        return json.loads(text, object_pairs_hook=pairs, parse_float=number, parse_constant=constant)
    except (ValueError, RecursionError) as fault:
        raise Refused(f"no JSON: {fault}") from None


def tensors(table: dict[str, Any], data: bytes) -> dict[str, np.ndarray]:
    """Every tensor, its bytes right behind those of the one before it, until the end of the file."""
    need(len(table) <= 1 << 16, "too many tensors")
    found, places = {}, []
    for name, entry in table.items():
        need(isinstance(entry, dict) and entry.keys() == {"dtype", "shape", "data_offsets"}, "an entry's keys")
        kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        need(isinstance(kind, str) and kind in KINDS, "a tensor's type")
        need(isinstance(shape, list) and 1 <= len(shape) <= 4 and all(type(n) is int and n > 0 for n in shape), "a shape")
        need(isinstance(offsets, list) and len(offsets) == 2 and all(type(n) is int and n >= 0 for n in offsets), "offsets")
        begin, end = offsets
        need(end - begin == math.prod(shape) * int(KINDS[kind][-1]) and end <= len(data), "a tensor's size")
        places.append((begin, end))
        found[name] = np.frombuffer(data[begin:end], KINDS[kind]).reshape(shape)
    at = 0
    for begin, end in sorted(places):
        need(begin == at, "a gap or an overlap")
        at = end
    need(at == len(data), "bytes of no tensor")
    return found
