"""Thousands of damaged files: each is refused by a FormatError, or is a network that runs. Nothing else ever happens.

Deterministic: the seed is printed, and a failing file is stored beside the temporary files of the test.
"""

from __future__ import annotations

import importlib.util
import json
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qsr.errors import FormatError
from qsr.runtime.interpreter import Interpreter
from qsr.runtime.packed.container import from_bytes, to_bytes
from qsr.runtime.packed.text import to_text
from tests.runtime.packed.build import conv_net, mixer_net, swin_net

SEED = 20_240
COMPILED = [] if importlib.util.find_spec("qsr._kernels") is None else [import_module("qsr.runtime.engine").Engine]
NETS = {
    "signs": conv_net("w1a1x2m", features=3, blocks=1),
    "codes": conv_net("w3a2ns", features=3, blocks=1, layout="msr", scale=3),
    "odd": conv_net("w2a2o", features=3, blocks=1, tail="w4a4f"),
    "mixer": mixer_net("w1a1", features=3, blocks=1),
    "attention": swin_net("w4a4", features=4, layers=2, window=2),
    "signs in attention": swin_net("w1a1", features=4, layers=1, window=2),
}
VALUES = (
    *(0, 1, -1, 2, 3, 7, 8, 9, 127, 255, 2**31 - 1, 2**31, 2**32, 2**63, -(2**31), 10**30),
    *(0.0, -0.0, 1e-45, 1e-38, 1e38, 3.5e38, 1e308, 0.5, -1.5, None, True, False, "", "conv", "mean", "spatial", "x" * 300),
    *([], {}, [0], [1, 1], [[]], {"a": 1}, "\x1b[31m", "../../etc/passwd", "\ud800"),
)


def outcome(data: bytes, store: Path) -> str:
    """`refused` or `ran`; anything else fails the test and leaves the file."""
    began = time.perf_counter()
    try:
        header, tensors = from_bytes(data, "net.qsr")
        assert to_bytes(*from_bytes(to_bytes(header, tensors))) == to_bytes(header, tensors)
        size = max(header.window, 3) // header.window * header.window
        for program in header.programs:
            for executor in {Interpreter, *COMPILED}:
                made = executor(header, tensors, program).run(np.zeros((size, size, 3), np.uint8), True)
                assert made.shape == (size * header.scale, size * header.scale, 3)
    except FormatError as fault:
        text = str(fault)
        assert text.startswith("net.qsr: ")
        assert "\n" not in text
        assert text.isprintable()
        assert len(text) < 600
        return "refused"
    except BaseException:
        store.write_bytes(data)
        print(f"the file is kept at {store}")
        raise
    assert time.perf_counter() - began < 20  # a hang, not a timing
    return "ran"


@pytest.mark.drill("F3")
@pytest.mark.parametrize("name", NETS)
def test_every_header_byte(name: str, tmp_path: Path) -> None:
    """Every 37th byte of the header and the length before it, six ways."""
    data = to_bytes(*NETS[name])
    length = 8 + int.from_bytes(data[:8], "little")
    counts = {"refused": 0, "ran": 0}
    for place in [*range(8), *range(8 + len(name), length, 37)]:
        for value in (0, 1, 0x7F, 0xFF, data[place] ^ 1, ord("9")):
            damaged = data[:place] + bytes([value]) + data[place + 1 :]
            if damaged != data:
                counts[outcome(damaged, tmp_path / "failing.qsr")] += 1
    print(counts)
    assert counts["refused"] > 3 * counts["ran"]


@pytest.mark.drill("F3")
@pytest.mark.parametrize("name", NETS)
def test_every_value_of_the_header(name: str, tmp_path: Path) -> None:
    """Each place of the JSON takes a few of the awkward values, drawn from a fixed seed."""
    print(f"seed {SEED}")
    rng = np.random.default_rng(SEED)
    header, tensors = NETS[name]
    whole = json.loads(to_text(header))
    data = to_bytes(header, tensors)
    length = int.from_bytes(data[:8], "little")
    table = json.loads(data[8 : 8 + length])
    counts = {"refused": 0, "ran": 0}
    for path in places(whole):
        for number in rng.choice(len(VALUES), 2, replace=False):
            changed = json.loads(json.dumps(whole))
            put(changed, path, VALUES[number])
            table["__metadata__"] = {"qsr": json.dumps(changed)}
            text = json.dumps(table).encode()
            counts[outcome(len(text).to_bytes(8, "little") + text + data[8 + length :], tmp_path / "failing.qsr")] += 1
    print(counts)
    assert min(counts.values()) > 0


@pytest.mark.drill("F2")
@pytest.mark.parametrize("name", NETS)
def test_data(name: str, tmp_path: Path) -> None:
    """Bytes of the tensors: NaN, negative scales, padding bits, or simply another network."""
    print(f"seed {SEED}")
    rng = np.random.default_rng(SEED)
    data = to_bytes(*NETS[name])
    begin = 8 + int.from_bytes(data[:8], "little")
    for _ in range(100):
        damaged = bytearray(data)
        for place in rng.integers(begin, len(data), rng.integers(1, 4)):
            damaged[place] = rng.choice([0, 0x7F, 0x80, 0xFF])
        outcome(bytes(damaged), tmp_path / "failing.qsr")


def places(value: Any, path: tuple[Any, ...] = ()):
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from places(inner, (*path, key))


def put(target: Any, path: tuple[Any, ...], value: Any) -> None:
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
