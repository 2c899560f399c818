"""Files that are small and would take a reader's time or memory: each is a bomb that once worked, or might have."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qsr.errors import FormatError
from qsr.runtime.packed import check as module
from qsr.runtime.packed.container import from_bytes, to_bytes
from qsr.runtime.packed.ops import Conv, FloatWeight, Image, PackedHeader, Program
from tests.fuzz.packed_mutate import Parts
from tests.runtime.packed.build import conv_net, swin_net

GOOD = to_bytes(*conv_net("w2a2", features=3, blocks=1))


def container(table: str | bytes) -> bytes:
    text = table.encode() if isinstance(table, str) else table
    return len(text).to_bytes(8, "little") + text


def metadata(text: str) -> str:
    return '"__metadata__":' + json.dumps({"qsr": text})


def keys(count: int) -> str:
    return ",".join(f'"{number}":0' for number in range(count))


def network(**values: object) -> bytes:
    parts = Parts(GOOD)
    parts.network.update(values)
    return parts.whole()


def shaped(shape: list[int]) -> bytes:
    parts = Parts(GOOD)
    parts.table["conv_last.bias"]["shape"] = shape
    return parts.whole()


def more(**entry: object) -> bytes:
    parts = Parts(GOOD)
    parts.table["conv_last.bias"].update(entry)
    return parts.whole()


def renamed(name: str) -> bytes:
    parts = Parts(GOOD)
    parts.table[name] = parts.table.pop("conv_last.bias")
    return parts.whole()


NESTED = '{"a":' * 900 + "0" + "}" * 900
BOMBS: dict[str, Callable[[], bytes]] = {
    "the last of many keys twice": lambda: container("{" + keys(120_000) + ',"119999":0}'),
    "many keys": lambda: container("{" + keys(500_000) + "}"),
    "many lists": lambda: container('{"a":[' + "[]," * 2_000_000 + "[]]}"),
    "many objects in the network": lambda: network(metrics={"a": [{} for _ in range(120_000)]}),
    "deep": lambda: container('{"a":' + NESTED + "," + metadata("{}") + "}"),
    "deep in the network": lambda: container("{" + metadata(NESTED) + "}"),
    "deep brackets": lambda: container("[" * (7 << 20)),
    "65 sizes": lambda: shaped([1] * 64 + [3]),
    "many sizes": lambda: shaped([1] * 100_000 + [3]),
    "no sizes": lambda: shaped([]),
    "sizes that overflow": lambda: shaped([2**32, 2**32, 3]),
    "another key in the table": lambda: more(payload="x" * 1000),
    "a key of a megabyte in the table": lambda: more(**{"x" * (1 << 20): 1}),
    "a name of a megabyte": lambda: renamed("x" * (1 << 20)),
    "a name of a megabyte twice": lambda: container("{" + ",".join(['"' + "x" * (1 << 20) + '":0'] * 2) + "}"),
    "a long key in the network": lambda: network(**{"x" * 900_000: 1}),
    "many unknown operations": lambda: network(programs=[{"depth": None, "ops": [{"op": "c" * 256}] * 2000}]),
    "digits": lambda: container('{"a":' + "9" * 4000 + "," + metadata('{"a":' + "9" * 4000 + "}") + "}"),
}

HARMLESS = ("many objects in the network",)  # allowed, and still within the limits

# One process reads them all: starting it takes longer. The kernel forgets the peak of memory on request.
CHILD = """
    import json, sys, time
    from pathlib import Path
    from qsr.errors import FormatError
    from qsr.runtime.packed.container import read

    def peak():
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

    for path in map(Path, json.loads(sys.argv[1])):
        Path("/proc/self/clear_refs").write_text("5")
        before, began = peak(), time.process_time()
        try:
            read(path)
            said = "accepted"
        except FormatError as fault:
            said = str(fault)
        except Exception as fault:
            said = f"{type(fault).__name__}: {fault}"[:500]
        print(json.dumps([path.stem, said, time.process_time() - began, (peak() - before) << 10]), flush=True)
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, str, float, int]]:
    """By bomb: its file, what was said, seconds, bytes of memory."""
    folder = tmp_path_factory.mktemp("bombs")
    files = {"good": folder / "good.qsr"}
    files["good"].write_bytes(GOOD)
    for number, (name, bomb) in enumerate(BOMBS.items()):
        files[name] = folder / f"{number}.qsr"
        files[name].write_bytes(bomb())
    child = [sys.executable, "-c", textwrap.dedent(CHILD), json.dumps([str(file) for file in files.values()])]
    done = subprocess.run(child, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return {name: (files[name], *json.loads(line)[1:]) for name, line in zip(files, done.stdout.splitlines(), strict=True)}


@pytest.mark.drill("F1")
@pytest.mark.parametrize("name", BOMBS)
def test_bombs(name: str, outcomes) -> None:
    """Refused within a second, within 64 MiB and twice the file, all memory of the process counted; in one line."""
    bomb, said, seconds, memory = outcomes[name]
    assert said.startswith(f"{bomb}: ") or (said == "accepted" and name in HARMLESS)
    assert len(said) < 600 + len(str(bomb))
    assert seconds < 1
    assert memory < (64 << 20) + 2 * bomb.stat().st_size


def test_a_shared_tensor_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte that thousands of operations share would else be gone through thousands of times."""
    looked: list[tuple[int, ...]] = []
    pieces = module._pieces
    monkeypatch.setattr(module, "_pieces", lambda found: looked.append(found.shape) or pieces(found))
    ops = [Image(), *(Conv((n,), "layer", 3, 3, (1, 1), FloatWeight("w"), None, "b") for n in range(50))]
    programs = tuple(Program(tuple(ops), depth) for depth in (1, 2))
    header = PackedHeader(1, programs, 0, 1, False, {}, None, {}, {})
    module.check(header, {"w": np.zeros((3, 3, 1, 1), np.float32), "b": np.zeros(3, np.float32)})
    assert sorted(looked) == [(3,), (3, 3, 1, 1)]


def test_tables_of_attention_count_as_what_they_become() -> None:
    """A table of 1 MB becomes 256 MB of pairs of tokens, once for each layer that names it."""
    with pytest.raises(FormatError, match="more than 67108864 weights"):
        to_bytes(*swin_net("fp", features=64, layers=1, heads=64, window=32))
    from_bytes(to_bytes(*swin_net("fp", features=16, layers=1, heads=16, window=32)))
