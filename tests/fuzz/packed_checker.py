"""A second opinion on what is a packed file, by docs/format.md alone. It uses nothing of qsr, and shares no idea with it.

Where qsr's loader builds objects and compares them, this one walks the JSON as it lies there. The two have to agree on
every file (F7); where they do not, one of them, or the page, is wrong.

>>> refused(b"hello")
'shorter than its header'
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tests.fuzz.container_checker import KINDS, Refused, container, need, strict, tensors

SMALLEST, LARGEST = 2.0**-126, 3.4028234e38
VECTOR, NAME = object(), object()  # the types of a key's value that are not plain classes


def refused(content: bytes) -> str | None:
    """Why a reader has to refuse these bytes; None: it is a packed file."""
    try:
        table, data = container(content)
        need(table.keys() >= {"__metadata__"}, "no metadata")
        metadata = table.pop("__metadata__")
        need(isinstance(metadata, dict) and list(metadata) == ["qsr"] and isinstance(metadata["qsr"], str), "other metadata")
        text = metadata["qsr"]
        need(len(text.encode("utf-8", "surrogatepass")) <= 1 << 20, "metadata too long")
        Network(strict(text), tensors(table, data)).check()
    except Refused as fault:
        return str(fault)
    return None


# --- the network --------------------------------------------------------------------------------------------------------
def depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


def is_name(value: Any) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= 256 and value.isprintable()


def is_number(value: Any) -> bool:
    return type(value) in (int, float) and -LARGEST <= value <= LARGEST


def keys(part: Any, at: str, **types: Any) -> dict[str, Any]:
    """`part` is an object with these keys and no others. A type: a class, a range, VECTOR, NAME, float, or a function."""
    need(isinstance(part, dict) and part.keys() == types.keys(), f"{at}: its keys")
    for key, wanted in types.items():
        value, where = part[key], f"{at}.{key}"
        if isinstance(wanted, range):
            need(type(value) is int and value in wanted, where)
        elif wanted is bool:
            need(type(value) is bool, where)
        elif wanted is float:
            need(is_number(value), where)
        elif wanted is VECTOR:
            need(is_name(value) or is_number(value), where)
        elif wanted is NAME:
            need(is_name(value), where)
        elif callable(wanted):
            wanted(value, where)
    return part


def between(low: int, high: int) -> range:
    return range(low, high + 1)


def one_of(*allowed: Any) -> Callable[[Any, str], None]:
    return lambda value, at: need(type(value) in {type(a) for a in allowed} and value in allowed, at)


def nothing_or(wanted: Callable[[Any, str], Any] | range) -> Callable[[Any, str], None]:
    def check(value: Any, at: str) -> None:
        if value is None:
            return
        if isinstance(wanted, range):
            need(type(value) is int and value in wanted, at)
        else:
            wanted(value, at)

    return check


def numbers(count: int, high: int) -> Callable[[Any, str], None]:
    def check(value: Any, at: str) -> None:
        good = isinstance(value, list) and len(value) == count and all(type(n) is int and 0 <= n <= high for n in value)
        need(good, at)

    return check


def two_names(value: Any, at: str) -> None:
    need(isinstance(value, list) and len(value) == 2 and all(map(is_name, value)), at)


def objects(value: Any, at: str) -> None:
    need(isinstance(value, dict), at)


def free(value: Any, at: str) -> None:
    """Checked by who uses it."""


# scales of signs that are words, and whether they look at all of the picture
WHOLE, PART = {"mean": True}, {"mean": False}
ONE, CHANNELS, FACTOR = numbers(1, 2048), between(1, 4096), between(2, 8)
LINEAR = {"name": NAME, "c_in": CHANNELS, "c_out": CHANNELS, "weight": free, "act": free, "bias": VECTOR}
OPS: dict[str, dict[str, Any]] = {
    "image": {"channels": between(3, 3)},
    "affine": {"inputs": ONE, "scale": VECTOR, "offset": VECTOR},
    "conv": {"inputs": ONE, "kernel": numbers(2, 15), **LINEAR},
    "depthwise": {"inputs": ONE, "name": NAME, "channels": CHANNELS, "kernel": numbers(2, 15), "weight": free, "bias": VECTOR},
    "prelu": {"inputs": ONE, "slope": VECTOR, "before": VECTOR, "after": VECTOR},
    "add": {"inputs": numbers(2, 2048)},
    "shuffle": {"inputs": ONE, "factor": FACTOR},
    "repeat": {"inputs": ONE, "factor": FACTOR},
    "average": {"inputs": ONE, "factor": FACTOR},
    "bilinear": {"inputs": ONE, "factor": FACTOR},
    "norm": {"inputs": ONE, "weight": NAME, "bias": NAME, "eps": float},
    "quantize": {"inputs": ONE, "act": free},
    "swin": {
        "inputs": ONE,
        "name": NAME,
        "channels": CHANNELS,
        "window": between(1, 32),
        "shift": between(0, 31),
        "heads": CHANNELS,
        "table": NAME,
        "norm1": two_names,
        "norm2": two_names,
        "eps": float,
        **dict.fromkeys(("qkv", "proj", "fc1", "fc2", "operands"), free),
        "proj_skip": bool,
        "gain1": float,
        "gain2": float,
    },
}
HEAD = {
    "format": one_of("qsr.packed/1"),
    "scale": between(1, 8),
    "channels": between(3, 3),
    "window": between(1, 32),
    "receptive_field": nothing_or(between(0, 1 << 16)),
    "whole_picture": bool,
    "programs": free,
    "network": objects,
    "protocol": nothing_or(lambda value, at: need(is_name(value), at)),
    "metrics": objects,
    "provenance": objects,
}


class Network:
    """One header against its tensors."""

    def __init__(self, head: Any, arrays: dict[str, np.ndarray]) -> None:
        self.head, self.arrays, self.used = head, arrays, set[str]()
        self.seen: set[tuple[Any, ...]] = set()

    def check(self) -> None:
        head = self.head
        need(isinstance(head, dict) and head.get("format") == "qsr.packed/1", "format")
        need(depth(head) <= 16, "nested too deep")
        keys(head, "header", **HEAD)
        need(not any(isinstance(value, dict | list) for value in head["network"].values()), "network")
        programs = head["programs"]
        need(isinstance(programs, list) and 1 <= len(programs) <= 16, "programs")
        depths = [keys(p, "program", depth=nothing_or(between(0, 2048)), ops=free)["depth"] for p in programs]
        need(len(depths) == 1 or (None not in depths and len(set(depths)) == len(depths)), "depths")
        for program in programs:
            need(isinstance(program["ops"], list) and 2 <= len(program["ops"]) <= 2048, "ops")
            self.program(program["ops"])
        need(self.used == set(self.arrays), "a tensor that nothing uses")

    def program(self, ops: list[Any]) -> None:
        shapes: list[tuple[int, int]] = []  # (channels, factor)
        reach: list[float] = []  # pixels of the picture
        used, weights = set(), 0
        for number, op in enumerate(ops):
            at = f"ops[{number}]"
            need(isinstance(op, dict) and isinstance(op.get("op"), str) and op["op"] in OPS, at)
            kind = op["op"]
            keys(op, at, op=free, **OPS[kind])
            need((kind == "image") == (number == 0), at)
            sources = op.get("inputs", [])
            need(all(source < number for source in sources), f"{at}.inputs")
            used.update(sources)
            inputs = [shapes[source] for source in sources]
            shape, count, further = getattr(self, kind)(op, at, *inputs)
            channels, factor = shape
            need(factor <= 8 and channels * factor**2 <= 1 << 16, f"{at}: too large")
            weights += count
            need(weights <= 1 << 26, "too many weights")
            shapes.append(shape)
            reach.append(max((reach[source] for source in sources), default=0) + further)
        need(shapes[-1] == (3, self.head["scale"]), "the result is not the picture")
        need(used | {len(ops) - 1} == set(range(len(ops))), "a value that nothing uses")
        promised = self.head["receptive_field"]
        need(promised is None or reach[-1] - 1e-9 <= promised, "receptive_field")

    # --- operations: (shape of the value, weights, how much further it looks)
    def image(self, op: Any, at: str) -> Any:
        return (3, 1), 0, 0

    def affine(self, op: Any, at: str, x: tuple[int, int]) -> Any:
        self.vectors(op, at, x[0], "scale", "offset")
        return x, 0, 0

    def prelu(self, op: Any, at: str, x: tuple[int, int]) -> Any:
        self.vectors(op, at, x[0], "slope", "before", "after")
        return x, 0, 0

    def add(self, op: Any, at: str, x: tuple[int, int], y: tuple[int, int]) -> Any:
        need(x == y, at)
        return x, 0, 0

    def shuffle(self, op: Any, at: str, x: tuple[int, int]) -> Any:
        f = op["factor"]
        need(x[0] % f**2 == 0, at)
        return (x[0] // f**2, x[1] * f), 0, 0

    def bilinear(self, op: Any, at: str, x: tuple[int, int]) -> Any:
        return (x[0], x[1] * op["factor"]), 0, 1 / x[1]

    def norm(self, op: Any, at: str, x: tuple[int, int]) -> Any:
        need(op["eps"] >= SMALLEST, f"{at}.eps")
        self.vectors(op, at, x[0], "weight", "bias")
        return x, 0, 0

    def quantize(self, op: Any, at: str, x: tuple[int, int]) -> Any:
        self.act(op["act"], f"{at}.act", x[0], WHOLE)
        return x, 0, 0

    def conv(self, op: Any, at: str, x: tuple[int, int]) -> Any:
        kh, kw = op["kernel"]
        need(kh % 2 == 1 and kw % 2 == 1 and op["c_in"] == x[0], at)
        count = self.layer(op, at, (op["c_out"], op["c_in"], kh, kw), WHOLE | {"spatial": False})
        return (op["c_out"], x[1]), count, max(kh, kw) // 2 / x[1]

    def depthwise(self, op: Any, at: str, x: tuple[int, int]) -> Any:
        kh, kw = op["kernel"]
        need(kh % 2 == 1 and kw % 2 == 1 and op["channels"] == x[0], at)
        weight = keys(op["weight"], f"{at}.weight", kind=one_of("float"), tensor=NAME)
        self.tensor(weight["tensor"], at, ("F32", "F16"), (x[0], kh, kw))
        self.vectors(op, at, x[0], "bias")
        return x, x[0] * kh * kw, max(kh, kw) // 2 / x[1]

    def repeat(self, op: Any, at: str, x: tuple[int, int]) -> Any:
        return (x[0] * op["factor"], x[1]), 0, 0

    def average(self, op: Any, at: str, x: tuple[int, int]) -> Any:
        need(x[0] % op["factor"] == 0, at)
        return (x[0] // op["factor"], x[1]), 0, 0

    def swin(self, op: Any, at: str, x: tuple[int, int]) -> Any:
        c, window, heads = op["channels"], op["window"], op["heads"]
        need(c == x[0] and heads <= c and c % heads == 0 and op["shift"] < window, at)
        need(self.head["window"] % window == 0 and heads * window**2 <= 1 << 16, at)
        need(op["eps"] >= SMALLEST, f"{at}.eps")
        self.tensor(op["table"], at, ("F32",), ((2 * window - 1) ** 2, heads))
        for name in (*op["norm1"], *op["norm2"]):
            self.vector(name, at, c)
        count = heads * window**4
        hidden = op["fc1"].get("c_out") if isinstance(op["fc1"], dict) else None
        for key, (c_in, c_out) in {"qkv": (c, 3 * c), "proj": (c, c), "fc1": (c, hidden), "fc2": (hidden, c)}.items():
            layer = keys(op[key], f"{at}.{key}", **LINEAR)
            need((layer["c_in"], layer["c_out"]) == (c_in, c_out), f"{at}.{key}")
            count += self.layer(layer, f"{at}.{key}", (c_out, c_in), PART)
        if op["operands"] is not None:
            self.operands(op, at)
        return x, count, math.inf

    def operands(self, op: Any, at: str) -> None:
        operands = keys(op["operands"], f"{at}.operands", q=free, k=free, v=free, map=free)
        q, k, v = (self.act(operands[key], f"{at}.operands.{key}", op["channels"], PART) for key in "qkv")
        chosen = operands["map"]
        if isinstance(chosen, dict) and chosen.get("kind") == "elastic":
            keys(chosen, at, kind=free, step=VECTOR)
            self.vector(chosen["step"], at, op["heads"], SMALLEST)
            largest = 1
        else:
            need(isinstance(chosen, dict) and chosen.get("kind") == "uniform" and not isinstance(chosen.get("shift"), str), at)
            largest = self.act(chosen, at, 0, {})
        need(op["channels"] // op["heads"] * q * k < 1 << 31, at)
        need(op["window"] ** 2 * largest * v < 1 << 31, at)

    # --- weights and inputs
    def layer(self, op: Any, at: str, shape: tuple[int, ...], modes: Mapping[str, bool]) -> int:
        """The numbers in its weight."""
        terms, count = math.prod(shape[1:]), math.prod(shape)
        need(terms <= 1 << 16, at)
        largest, planes = self.weight(op["weight"], f"{at}.weight", shape)
        self.vector(op["bias"], at, op["c_out"])
        if op["act"] is not None:
            act = self.act(op["act"], f"{at}.act", op["c_in"], modes)
            need(terms * act * largest < 1 << 31, at)
        return count * planes

    def weight(self, spec: Any, at: str, shape: tuple[int, ...]) -> tuple[int, int]:
        """(largest code, planes)."""
        need(isinstance(spec, dict), at)
        count = math.prod(shape)
        if spec.get("kind") == "float":
            keys(spec, at, kind=free, tensor=NAME)
            self.tensor(spec["tensor"], at, ("F32", "F16"), shape)
            return 0, 1
        if spec.get("kind") == "uniform":
            keys(spec, at, kind=free, tensor=NAME, bits=between(2, 8), scale=VECTOR, odd=bool, narrow=bool)
            b = spec["bits"]
            need(not (spec["odd"] and spec["narrow"]), at)
            self.stream(spec["tensor"], at, count, b, spec["narrow"])
            self.vector(spec["scale"], at, shape[0], SMALLEST)
            return 2**b - 1 if spec["odd"] else 2 ** (b - 1), 1
        need(spec.get("kind") == "sign", at)
        keys(spec, at, kind=free, tensor=NAME, scale=free)
        scales = spec["scale"]
        need(isinstance(scales, list) and 1 <= len(scales) <= 4, at)
        self.stream(spec["tensor"], at, count * len(scales), 1, False)
        for scale in scales:
            need(is_name(scale) or is_number(scale), at)
            self.vector(scale, at, shape[0], 0.0)
        return 1, len(scales)

    def act(self, spec: Any, at: str, channels: int, modes: Mapping[str, bool]) -> int:
        """Its largest code."""
        need(isinstance(spec, dict), at)
        if spec.get("kind") == "uniform":
            keys(spec, at, kind=free, bits=between(2, 8), signed=bool, narrow=bool, step=float, shift=VECTOR, offset=float)
            self.vector(spec["shift"], at, channels)
            need(spec["step"] >= SMALLEST, at)
            return 2 ** (spec["bits"] - 1) if spec["signed"] else 2 ** spec["bits"] - 1
        need(spec.get("kind") == "sign", at)
        keys(spec, at, kind=free, shift=VECTOR, scale=VECTOR)
        self.vector(spec["shift"], at, channels)
        if spec["scale"] not in ("mean", "spatial"):
            self.vector(spec["scale"], at, channels, SMALLEST)
            return 1
        need(spec["scale"] in modes, at)
        need(self.head["whole_picture"] or not modes[spec["scale"]], "whole_picture")
        return 1

    # --- tensors
    def vectors(self, op: Any, at: str, channels: int, *names: str) -> None:
        for name in names:
            self.vector(op[name], f"{at}.{name}", channels)

    def vector(self, value: Any, at: str, channels: int, least: float = -math.inf) -> None:
        if isinstance(value, str):
            self.tensor(value, at, ("F32",), (channels,), least)
        else:
            need(value >= least, at)

    def tensor(self, name: str, at: str, kinds: tuple[str, ...], shape: tuple[int, ...], least: float = -math.inf) -> None:
        need(name in self.arrays, f"{at}: no {name}")
        array = self.arrays[name]
        need(array.shape == shape and array.dtype in [np.dtype(KINDS[kind]) for kind in kinds], f"{at}: {name}")
        self.used.add(name)
        if (name, least) not in self.seen:
            self.seen.add((name, least))
            need(bool(np.isfinite(array).all() and (array >= least).all()), f"{at}: numbers of {name}")

    def stream(self, name: str, at: str, count: int, b: int, narrow: bool) -> None:
        self.tensor(name, at, ("U8",), (-(-count * b // 8),))
        if (name, count, b, narrow) in self.seen:
            return
        self.seen.add((name, count, b, narrow))
        bits = np.unpackbits(self.arrays[name], bitorder="little")
        need(not bits[count * b :].any(), f"{at}: padding bits")
        if narrow:
            codes = bits[: count * b].reshape(count, b)
            need(not (codes[:, -1].astype(bool) & ~codes[:, :-1].any(1)).any(), f"{at}: the lowest code")
