"""Packed files from strangers: what qsr.runtime does with thousands of them (F1, F2, F3 and F7 of docs/reliability.md)."""

from __future__ import annotations

import importlib.util
import random
import re
import resource
import time
import warnings
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from qsr.errors import FormatError
from qsr.runtime.interpreter import Interpreter
from qsr.runtime.packed.container import from_bytes, to_bytes
from tests.drill import NIGHTLY
from tests.fuzz.packed_checker import refused
from tests.fuzz.packed_mutate import NUMBERS, OFTEN, WAYS, Parts, damage, numbers, planes, seeds, value, window
from tests.runtime.packed.build import conv_net

MOST_SECONDS = 1.0
MOST_MEMORY = 256 << 20
ENGINES: list[Any] = [] if importlib.util.find_spec("qsr._kernels") is None else [import_module("qsr.runtime.engine").Engine]


def loaded(data: bytes, drill) -> Any:
    """What the loader makes of these bytes, None where it refuses them as it should; fails the drill for anything else."""
    began = time.process_time()
    try:
        made = from_bytes(data, "net.qsr")
    except FormatError as fault:
        made, text = None, str(fault)
        if not (text.startswith("net.qsr: ") and text.isprintable() and len(text) < 600):
            drill.fail(f"a message that is not one short line: {text[:200]!r}", data, ".qsr")
    except Exception as fault:
        drill.fail(f"{type(fault).__name__}: {fault}", data, ".qsr")
    if (seconds := time.process_time() - began) > MOST_SECONDS:
        drill.fail(f"took {seconds:.1f} s", data, ".qsr")
    return made


def hostile(drill) -> bytes:
    """A good file, damaged once or a few times."""
    data = drill.random.choice(seeds())
    for _ in range(drill.random.choice((1, 1, 1, 2, 3))):
        try:
            data, _ = damage(drill.random, data)
        except (ValueError, LookupError, TypeError, AttributeError):  # no file any more that a second damage understands
            break
    return data


def peak() -> int:
    """The most memory that this process ever had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


@pytest.mark.drill("F1")
@pytest.mark.drill("F7")
def test_hostile_files(drill) -> None:
    """No crash, no hang, no memory; and the checker that knows only docs/format.md says the same."""
    seeds()
    before, accepted = peak(), 0
    for _ in drill.rounds(push=2000, nightly=1_000_000):
        data = hostile(drill)
        made, why = loaded(data, drill), refused(data)
        if (made is None) != (why is not None):
            drill.fail(f"the loader {'refuses' if made is None else 'accepts'} it, the checker says {why}", data, ".qsr")
        accepted += made is not None
    assert peak() - before < MOST_MEMORY
    assert accepted > drill.runs / 100  # else nothing was tried but garbage
    print(f"{drill.runs} files, {accepted} accepted")


@cache
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)


def ran(header: Any, tensors: Any, data: bytes, drill) -> None:
    """An 8 x 8 picture (or one window) through every program; the user sees no warning either."""
    size = -(-8 // header.window) * header.window
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for program in header.programs:
            for executor in (Interpreter, *ENGINES):
                try:
                    runs = executor(header, tensors, program)
                    made = runs.run(np.ascontiguousarray(picture()[:size, :size]), True)
                    runs.memory(size, size)
                except Exception as fault:
                    drill.fail(f"{executor.__name__}: {type(fault).__name__}: {fault}", data, ".qsr")
                if made.shape != (size * header.scale, size * header.scale, 3) or made.dtype != np.uint8:
                    drill.fail(f"{executor.__name__}: made {made.shape} {made.dtype}", data, ".qsr")


@pytest.mark.drill("F2")
def test_what_is_accepted_runs(drill) -> None:
    """Damage that leaves many files valid, each of which then makes a picture; and is written as it was read."""
    for data in seeds():
        ran(*from_bytes(data), data, drill)
    accepted = 0
    for _ in drill.rounds(push=500, nightly=200_000):
        way = drill.random.choice((value, value, numbers, numbers, window, planes))
        data = way(drill.random, drill.random.choice(seeds()))
        made = loaded(data, drill)
        if made is not None:
            accepted += 1
            ran(*made, data, drill)
            if to_bytes(*from_bytes(to_bytes(*made))) != to_bytes(*made):
                drill.fail("is not written as it was read", data, ".qsr")
    assert accepted > drill.runs / 10
    print(f"{accepted} of {drill.runs} ran")


# --- F3: every byte of one file -----------------------------------------------------------------------------------------
# A message says where: a byte or character, sizes in bytes, a tensor, or the path of a key.
PLACE = re.compile(
    r"\bchar \d+|\bbytes?\b|\bposition \d+|\bcolumn \d+|tensor '|key '|\w+(\[\d+\])?\.\w+|^\w+: (found|missing)|metadata key"
)
WHOLE = "header is longer than the file"


@cache
def model() -> bytes:
    """A file of about 20 kB."""
    data = to_bytes(*conv_net("w2a2", features=8, blocks=1))
    assert 15_000 < len(data) < 40_000
    return data


def same(made: Any, data: bytes, drill) -> None:
    """An accepted file is what it says: written again, and read by what knows only docs/format.md, it is the same network."""
    if refused(data) is not None:
        drill.fail(f"accepted, but: {refused(data)}", data, ".qsr")
    again = from_bytes(to_bytes(*made))
    equal = again[0] == made[0] and again[1].keys() == made[1].keys()
    if not equal or any(again[1][name].tobytes() != made[1][name].tobytes() for name in again[1]):
        drill.fail("accepted as something else than it says", data, ".qsr")


class Said:
    """Counts messages, and those that name no place."""

    def __init__(self) -> None:
        self.all, self.vague = 0, 0

    def hear(self, data: bytes, drill) -> None:
        made = loaded(data, drill)
        if made is not None:
            same(made, data, drill)
            return
        with pytest.raises(FormatError) as caught:
            from_bytes(data, "net.qsr")
        self.all += 1
        self.vague += not (PLACE.search(str(caught.value).removeprefix("net.qsr: ")) or WHOLE in str(caught.value))

    def judge(self) -> None:
        print(f"{self.all} refused, {self.vague} without a place")
        assert self.all
        assert self.vague <= self.all / 100


@pytest.mark.drill("F3")
def test_every_byte_of_the_header(drill) -> None:
    """0, 1, 0x7f, 0xff and the lowest bit flipped, at every byte of the header; per push at every 16th."""
    data, said = model(), Said()
    end = 8 + int.from_bytes(data[:8], "little")
    begin = drill.random.randrange(16)
    for place in drill.rounds(push=-(-(end - begin) // 16), nightly=end):
        at = place if NIGHTLY else begin + 16 * place
        for new in (0, 1, 0x7F, 0xFF, data[at] ^ 1):
            if new != data[at]:
                said.hear(data[:at] + bytes([new]) + data[at + 1 :], drill)
    said.judge()


@pytest.mark.drill("F3")
def test_every_number_of_the_table(drill) -> None:
    """Each size and place of each tensor takes the numbers at which arithmetic goes wrong."""
    said = Said()
    for name in Parts(model()).table:
        for key in ("shape", "data_offsets"):
            for place in range(len(Parts(model()).table[name][key])):
                for number in NUMBERS if NIGHTLY else drill.random.sample(NUMBERS, 2):
                    parts = Parts(model())
                    if parts.table[name][key][place] != number:
                        parts.table[name][key][place] = number
                        said.hear(parts.whole(), drill)
                        drill.count()
    said.judge()


@pytest.mark.drill("F3")
def test_every_truncation(drill) -> None:
    """Cut off at every byte (per push at every 16th)."""
    data, said = model(), Said()
    begin = drill.random.randrange(16)
    for place in drill.rounds(push=-(-(len(data) - begin) // 16), nightly=len(data)):
        cut = data[: place if NIGHTLY else begin + 16 * place]
        if loaded(cut, drill) is not None:
            drill.fail("a file that was cut short is accepted", cut, ".qsr")
        said.hear(cut, drill)
    assert said.all == drill.runs
    said.judge()


def test_every_way_of_damage_does_something() -> None:
    assert len(WAYS) == len(OFTEN)
    r = random.Random(3)
    for way in WAYS:
        verdicts = {refused(way(r, seeds()[r.randrange(len(seeds()))])) for _ in range(40)}
        assert len(verdicts) > 2, way.__name__  # refused for several reasons, or accepted
