"""Checkpoints that mean harm, made by code: nothing of it is kept in the repository.

PTH: name -> a function that writes the attack to a file. `canary` is a file that comes into being if any of its code runs.
"""

from __future__ import annotations

import io
import os
import pickle
import pickletools
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

Attack = Callable[[Path, Path], None]  # (file to write, canary)


class Reduce:
    """A pickle that calls `function(*arguments)` when it is loaded."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.function, self.arguments


class State:
    """A pickle whose harm is in its state: `__setstate__` of a harmless class."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return Path, ("x",), None, None, iter([("a", Reduce(Path.touch, self.canary))])


def archive(pickled: bytes, storages: dict[str, bytes] | None = None, compress: bool = False) -> bytes:
    """torch's zip of a pickle and its storages."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED) as made:
        made.writestr("net/data.pkl", pickled)
        made.writestr("net/byteorder", "little")
        for name, content in (storages or {}).items():
            made.writestr(f"net/data/{name}", content)
        made.writestr("net/version", "3\n")
    return buffer.getvalue()


class _Storage:
    def __init__(self, key: str, count: int) -> None:
        self.id = ("storage", torch.FloatStorage, key, "cpu", count)


class _Pickler(pickle.Pickler):
    """Writes `_Storage` as torch writes a storage: by its number, type and size."""

    def persistent_id(self, value: Any) -> Any:
        return value.id if isinstance(value, _Storage) else None


def tensor(count: int, size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> bytes:
    """The pickle of {"params": {"w": a tensor}} over a storage that says it has `count` numbers."""
    buffer = io.BytesIO()
    rebuilt = Reduce(torch._utils._rebuild_tensor_v2, _Storage("0", count), offset, size, stride, False, {})
    _Pickler(buffer, protocol=2).dump({"params": {"w": rebuilt}})
    return buffer.getvalue()


def torch_script(path: Path, canary: Path) -> None:
    with torch.no_grad():
        torch.jit.trace(torch.nn.Conv2d(3, 3, 1), torch.zeros(1, 3, 4, 4)).save(str(path))


def write(content: bytes) -> Attack:
    return lambda path, canary: path.write_bytes(content) and None


def pickled(make: Callable[[Path], Any], protocol: int = 2) -> Attack:
    return lambda path, canary: path.write_bytes(pickle.dumps({"params": make(canary)}, protocol)) and None


def zipped(make: Callable[[Path], Any]) -> Attack:
    return lambda path, canary: torch.save({"params": make(canary)}, path)


def by_name(path: Path, canary: Path) -> None:
    """Opcodes by hand: builtins.exec, as no class could be made to write it."""
    code = f"open({str(canary)!r}, 'w')".encode()
    made = b"\x80\x02cbuiltins\nexec\nX" + struct.pack("<I", len(code)) + code + b"\x85R."
    pickletools.dis(made, out=io.StringIO())  # it is a pickle
    path.write_bytes(archive(made))


def bomb(path: Path, canary: Path) -> None:
    """640 MiB of zeros in less than one of file."""
    path.write_bytes(archive(tensor(160 << 20, (160 << 20,), (1,)), {"0": bytes(640 << 20)}, compress=True))


def appended(path: Path, canary: Path) -> None:
    """A good checkpoint with a second pickle behind it."""
    torch.save({"params": {"w": torch.zeros(3)}}, path, _use_new_zipfile_serialization=False)
    with open(path, "ab") as handle:
        handle.write(pickle.dumps(Reduce(os.system, f"touch {canary}")))


DEEP = b"\x80\x02" + b"(" * 100_000 + b"]" + b"t" * 100_000 + b"."
PTH: dict[str, Attack] = {
    "reduce": zipped(lambda canary: Reduce(os.system, f"touch {canary}")),
    "reduce, before torch's zip": pickled(lambda canary: Reduce(os.system, f"touch {canary}")),
    "reduce, newest protocol": pickled(lambda canary: Reduce(os.system, f"touch {canary}"), pickle.HIGHEST_PROTOCOL),
    "reduce in a tensor's place": zipped(lambda canary: {"w": torch.zeros(2), "b": Reduce(Path.touch, canary)}),
    "reduce of an allowed name with a hook": zipped(State),
    "eval by name": by_name,
    "torch's own loader": zipped(lambda canary: Reduce(torch.load, str(canary))),
    "import": zipped(lambda canary: Reduce(__import__, "antigravity")),
    "a whole module": zipped(lambda canary: torch.nn.Conv2d(1, 1, 1)),
    "TorchScript": torch_script,
    "zip bomb": bomb,
    "huge tensor": write(archive(tensor(1 << 40, (1 << 40,), (1,)), {"0": bytes(16)})),
    "huge tensor of one number": write(archive(tensor(1, (1 << 20, 1 << 20), (0, 0)), {"0": bytes(4)})),
    "a tensor beyond its storage": write(archive(tensor(4, (1 << 10,), (1,)), {"0": bytes(16)})),
    "a tensor before its storage": write(archive(tensor(4, (4,), (1,), -(1 << 20)), {"0": bytes(16)})),
    "negative strides": write(archive(tensor(4, (4,), (-(1 << 40),)), {"0": bytes(16)})),
    "a storage that is not there": write(archive(tensor(4, (4,), (1,)))),
    "nested lists": write(DEEP),
    "nested lists, zipped": write(archive(DEEP)),
    "a loop": zipped(lambda canary: _loop()),
    "two pickles": appended,
    "an empty archive": write(archive(b"")),
    "a length of 2^63": write(b"\x80\x02\x8e" + b"\xff" * 7 + b"\x7f."),
    "a frame of 2^62": write(b"\x80\x04\x95" + (1 << 62).to_bytes(8, "little") + b"."),
    "memo of 2^31": write(b"\x80\x02]r\xff\xff\xff\x7f."),
    "no pickle": write(b"hello" * 1000),
}


def _loop() -> dict[str, Any]:
    made: dict[str, Any] = {}
    made["self"] = made
    return made
