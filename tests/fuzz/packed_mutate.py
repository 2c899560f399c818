"""Damage to packed files that knows how they are built: most of it passes the container and reaches the rules behind it.

>>> data, how = damage(random.Random(1), seeds()[0])
"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

from qsr.runtime.packed.container import to_bytes
from tests.runtime.packed.build import METHODS, conv_net, mixer_net, swin_net

METHOD_LETTERS = ("w4a4o", "w2a2ns", "w4a4f", "w1a1m", "w1a1p", "w1a1c", "w4a8w", "w1a1x4")
VALUES = (
    *(0, 1, -1, 2, 3, 4, 7, 8, 9, 16, 17, 127, 255, 4096, 65536, 2**31 - 1, 2**31, 2**32, 2**53, 2**63, -(2**31), 10**30),
    *(0.0, -0.0, 1e-45, 1e-38, 2.0**-126, 1e38, 3.4028234e38, 3.5e38, 1e308, 0.5, -1.5, None, True, False),
    *("", "conv", "mean", "spatial", "image", "x" * 300, "\x1b[31m", "../../etc/passwd", "\ud800", "é", "a\nb"),
    *([], {}, [0], [1, 1], [0, 0], [[]], {"a": 1}, [1] * 65, ["mean.in"]),
)
NUMBERS = (0, 1, 2, 2**8 - 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1)
FLOATS = tuple(struct.pack("<f", x) for x in (0.0, -0.0, -1.0, 1e-45, 1e-38, 1e38, 3e38, 1e-3, 7.0)) + tuple(
    struct.pack("<I", x) for x in (0x7F800000, 0xFF800000, 0x7FC00000, 0x7FFFFFFF, 0xFFFFFFFF)
)


@cache
def seeds() -> tuple[bytes, ...]:
    """Small good files: every way to store weights and inputs, both kinds of networks, several programs, odd sizes."""
    made = []
    for number, method in enumerate((*METHODS, *METHOD_LETTERS)):
        layout = "edsr" if number % 2 else "msr"
        made.append(to_bytes(*conv_net(method, features=3, blocks=1, scale=2 + number % 3, layout=layout, seed=number)))
        made.append(to_bytes(*swin_net(method, features=4, layers=1 + number % 2, window=2, seed=number)))
    for number, method in enumerate(("fp", "fp16", "w1a1", "w1a1x2m", "w1a1c", "w2a2", "w4a4f", "w8a8")):
        expansion, kernel = 2 + number % 2, ((3, 3), (1, 5), (7, 3))[number % 3]
        made.append(to_bytes(*mixer_net(method, 3, 1, expansion, 2 + number % 3, number, number % 2 == 0, kernel)))
    for window in (1, 16, 17, 32):
        made.append(to_bytes(*swin_net("w2a2", features=2, layers=2, heads=1, window=window)))
    header, tensors = conv_net("w2a2", features=3, blocks=1)
    programs = tuple(replace(header.programs[0], depth=depth) for depth in (2, 1))
    made.append(to_bytes(replace(header, programs=programs), tensors))
    return tuple(made)


class Parts:
    """A file taken apart: the container's table, the network's JSON, the tensors' bytes."""

    def __init__(self, data: bytes) -> None:
        length = int.from_bytes(data[:8], "little")
        self.table = json.loads(data[8 : 8 + length])
        self.network = json.loads(self.table.pop("__metadata__")["qsr"])
        self.data = data[8 + length :]

    def whole(self, network: str | None = None) -> bytes:
        text = json.dumps(self.network) if network is None else network
        table = json.dumps({"__metadata__": {"qsr": text}, **self.table}).encode()
        return len(table).to_bytes(8, "little") + table + self.data


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of everything in a JSON tree."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from places(inner, (*path, key))


def at(tree: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


# --- ways to damage -----------------------------------------------------------------------------------------------------
def value(r: random.Random, data: bytes) -> bytes:
    """Some places of the network take an awkward value, or one that stands elsewhere in the file."""
    parts = Parts(data)
    for _ in range(r.choice((1, 1, 1, 2, 3))):
        path, other = r.choices([*places(parts.network)], k=2)
        try:
            old, new = at(parts.network, path), at(parts.network, other)
            target = at(parts.network, path[:-1])
        except (KeyError, IndexError, TypeError):  # an earlier change took it away
            continue
        if type(old) is int and r.random() < 0.4:
            new = old + r.choice((-2, -1, 1, 2)) if r.random() < 0.7 else old * 2
        elif type(old) is bool and r.random() < 0.5:
            new = not old
        elif r.random() < 0.6:
            new = r.choice(VALUES)
        target[path[-1]] = json.loads(json.dumps(new))
    return parts.whole()


def key(r: random.Random, data: bytes) -> bytes:
    """A key goes, comes, or is there twice."""
    parts = Parts(data)
    path = r.choice([path for path in places(parts.network) if isinstance(path[-1], str)])
    owner, kind = at(parts.network, path[:-1]), r.randrange(3)
    if kind == 0:
        del owner[path[-1]]
    elif kind == 1:
        owner[r.choice(("x", path[-1] + "s", "op", "kind", "\x00", "é" * 90))] = r.choice(VALUES)
    else:
        text, mark = json.dumps(parts.network), json.dumps(path[-1]) + ":"
        return parts.whole(text.replace(mark, f"{mark} 1, {mark}", 1))
    return parts.whole()


def operation(r: random.Random, data: bytes) -> bytes:
    """Operations are left out, repeated, exchanged, or read others' values."""
    parts = Parts(data)
    ops = r.choice(parts.network["programs"])["ops"]
    first, second = r.randrange(len(ops)), r.randrange(len(ops))
    kind = r.randrange(5)
    if kind == 0:
        del ops[first]
    elif kind == 1:
        ops.insert(first, json.loads(json.dumps(ops[second])))
    elif kind == 2:
        ops[first], ops[second] = ops[second], ops[first]
    elif kind == 3:
        ops[first]["inputs"] = [r.randrange(len(ops)) for _ in ops[first].get("inputs", [0])]
    else:
        programs = parts.network["programs"]
        programs.append({"depth": r.choice((None, 0, 1, 2)), "ops": json.loads(json.dumps(ops))})
    return parts.whole()


def window(r: random.Random, data: bytes) -> bytes:
    """Windows, shifts and heads that still fit together, here and there."""
    parts = Parts(data)
    size = r.choice((1, 2, 3, 4, 8, 16, 17, 32, 33))
    parts.network["window"] = size * r.choice((1, 1, 2))
    for program in parts.network["programs"]:
        for op in program["ops"]:
            if op["op"] == "swin":
                op["window"], op["shift"] = size, r.choice((0, size // 2, size))
                shape = parts.table[op["table"]]["shape"]
                if shape[0] != (2 * size - 1) ** 2:
                    resize(parts, op["table"], [(2 * size - 1) ** 2, op["heads"]])
    return parts.whole()


def planes(r: random.Random, data: bytes) -> bytes:
    """Another number of planes or bits, with a stream of the right size."""
    parts = Parts(data)
    weights = [at(parts.network, path) for path in places(parts.network) if path[-1] == "weight"]
    weights = [w for w in weights if isinstance(w, dict) and w["kind"] != "float"]
    if not weights:
        return value(r, data)
    spec = r.choice(weights)
    name, bits = spec["tensor"], spec.get("bits") or len(spec["scale"])
    size = parts.table[name]["shape"][0]
    if spec["kind"] == "sign":
        scales = [r.choice((0, 0.5, 1, spec["scale"][0])) for _ in range(r.randint(1, 5))]
        spec["scale"], more = scales, len(scales)
    else:
        spec["bits"] = more = r.randint(1, 9)
    resize(parts, name, [max(1, -(-size * more // bits) + r.choice((0, 0, 0, -1, 1)))])
    return parts.whole()


def resize(parts: Parts, name: str, shape: list[int]) -> None:
    """Give a tensor another shape; what is new in it is zero, and everything behind it moves."""
    entry = parts.table[name]
    begin, end = entry["data_offsets"]
    size = {"U8": 1, "F16": 2, "F32": 4}[entry["dtype"]]
    for number in shape:
        size *= number
    if not 0 <= size <= 1 << 20:
        raise ValueError("a tensor that an earlier change has made absurd")
    parts.data = parts.data[:begin] + parts.data[begin:end][:size].ljust(size, b"\0") + parts.data[end:]
    entry["shape"] = shape
    for other in parts.table.values():
        if other["data_offsets"][0] >= end:
            other["data_offsets"] = [place + begin + size - end for place in other["data_offsets"]]
    entry["data_offsets"] = [begin, begin + size]


def entry(r: random.Random, data: bytes) -> bytes:
    """The container's table: types, shapes, places, names."""
    parts = Parts(data)
    name = r.choice([*parts.table])
    row = parts.table[name]
    kind = r.randrange(8)
    if kind == 0:
        row["dtype"] = r.choice(("U8", "I8", "F16", "BF16", "F32", "F64", "BOOL", "F8_E4M3", "", "f32", 3, None))
    elif kind == 1:
        row["shape"] = r.choice(([], [0], [1] * 65, [2**62, 8], [-4], [2**63], [4.0], "4", None, [*row["shape"], 1]))
    elif kind == 2:
        row["shape"][r.randrange(len(row["shape"]))] = r.choice(NUMBERS)
    elif kind == 3:
        row["data_offsets"][r.randrange(2)] = r.choice((*NUMBERS, -1, len(parts.data), len(parts.data) + 1))
    elif kind == 4:
        row[r.choice(("x", "dtypes", "shape "))] = r.choice(VALUES)
    elif kind == 5:
        parts.table[r.choice(("x", "", "\x00", name + "x", "x" * 70_000))] = parts.table.pop(name)
    elif kind == 6:
        parts.table["more"] = {**row, "data_offsets": [len(parts.data)] * 2, "shape": [0]} if r.random() < 0.5 else {**row}
    else:
        other = parts.table[r.choice([*parts.table])]
        row["data_offsets"], other["data_offsets"] = other["data_offsets"], row["data_offsets"]
    return parts.whole()


def numbers(r: random.Random, data: bytes) -> bytes:
    """Bytes of the tensors."""
    begin, made = 8 + int.from_bytes(data[:8], "little"), bytearray(data)
    for _ in range(r.choice((1, 1, 2, 8))):
        if r.random() < 0.5:
            place = begin + r.randrange(max((len(data) - begin) // 4, 1)) * 4
            made[place : place + 4] = r.choice(FLOATS)
        else:
            made[r.randrange(begin, len(data))] = r.choice((0, 1, 0x7F, 0x80, 0xFF, r.randrange(256)))
    return bytes(made[: len(data)])


def raw(r: random.Random, data: bytes) -> bytes:
    """Anything at any byte, as a disk or a fuzzer does it."""
    made, kind = bytearray(data), r.randrange(7)
    place = r.randrange(len(data))
    if kind == 0:
        del made[place:]
    elif kind == 1:
        made[place] ^= 1 << r.randrange(8)
    elif kind == 2:
        made[place] = r.choice((0, 1, 0x7F, 0xFF, 0x22, 0x5C, 0x7B, 0x5D))
    elif kind == 3:
        made[:8] = r.choice((*NUMBERS, len(data), len(data) - 8, int.from_bytes(data[:8], "little") + 1)).to_bytes(8, "little")
    elif kind == 4:
        made[place:place] = r.randbytes(r.choice((1, 4, 64)))
    elif kind == 5:
        del made[place : place + r.choice((1, 4, 64))]
    else:
        made += r.randbytes(r.choice((1, 4, 4096)))
    return bytes(made)


def splice(r: random.Random, data: bytes) -> bytes:
    """The network of one file with the tensors of another."""
    mine, other = Parts(data), Parts(r.choice(seeds()))
    mine.network = other.network
    return mine.whole()


WAYS: tuple[Callable[[random.Random, bytes], bytes], ...] = (value, key, operation, window, planes, entry, numbers, raw, splice)
OFTEN = (6, 2, 3, 1, 2, 3, 3, 3, 1)


def damage(r: random.Random, data: bytes) -> tuple[bytes, str]:
    """A damaged copy, and the way it was damaged."""
    way = r.choices(WAYS, OFTEN)[0]
    return way(r, data), way.__name__
