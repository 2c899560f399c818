"""What a save asks of the disk, recorded; and what a disk may hold when the power fails in the middle of it.

The model is POSIX's, read as harshly as it allows:

- a file's bytes are safe after fsync of the file; before, any of them may be missing, cut off, or zeros;
- a name in a folder (made, renamed, removed) is safe after fsync of the folder; before, each may or may not have happened,
  in any order, as long as one does not need the other. A rename happens whole or not at all.

The recorder wraps the functions of `os` that qsr calls and the `open` of qsr.files. `after_all` on everything recorded has to
give the tree that is really there, or something was written behind the recorder's back.
"""

from __future__ import annotations

import builtins
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import qsr.files

Op = tuple[Any, ...]
"""("mkdir" | "create" | "fsync" | "unlink" | "rmdir", path), ("write", path, bytes), ("rename", path, path), ("done", tag)."""


class Watch:
    """Calls `before(op)` and `after(op)` around everything that changes the disk; `before` may raise or kill."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        for name in ("mkdir", "rmdir", "unlink", "remove"):
            patch.setattr(os, name, self._one_path(name, getattr(os, name)))
        for name in ("rename", "replace"):
            patch.setattr(os, name, self._rename(getattr(os, name)))
        patch.setattr(os, "fsync", self._fsync(os.fsync))
        patch.setattr(qsr.files, "open", self._open, raising=False)

    def before(self, op: Op) -> None:
        """Nothing happens before, unless a subclass says so."""

    def after(self, op: Op) -> None:
        """Nothing happens after, unless a subclass says so."""

    def _around(self, op: Op, call: Callable[[], Any]) -> Any:
        self.before(op)
        result = call()
        self.after(op)
        return result

    def _one_path(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        kind = "unlink" if name == "remove" else name

        def watched(path: Any, *args: Any, dir_fd: int | None = None, **kwargs: Any) -> Any:
            # shutil.rmtree names files by the open folder that they are in
            whole = Path(path) if dir_fd is None else _of(dir_fd) / os.fspath(path)
            return self._around((kind, whole), lambda: call(path, *args, dir_fd=dir_fd, **kwargs))

        return watched

    def _rename(self, call: Callable[..., Any]) -> Callable[..., Any]:
        return lambda old, new: self._around(("rename", Path(old), Path(new)), lambda: call(old, new))

    def _fsync(self, call: Callable[[int], Any]) -> Callable[[int], Any]:
        return lambda handle: self._around(("fsync", _of(handle)), lambda: self.sync(call, handle))

    def sync(self, call: Callable[[int], Any], handle: int) -> None:
        call(handle)

    def _open(self, path: Path, mode: str) -> Any:
        def opened() -> Any:
            return builtins.open(path, mode, buffering=0)  # _Handle closes it

        return _Handle(self, path, self._around(("create", Path(path)), opened) if "w" in mode else opened())


class _Handle:
    """An opened file whose writes are watched; unbuffered, so that they happen when they are watched."""

    def __init__(self, watch: Watch, path: Path, handle: Any) -> None:
        self._watch, self._path, self._handle = watch, path, handle

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handle, name)

    def write(self, content: bytes) -> int:
        result: int = self._watch._around(("write", Path(self._path), content), lambda: self._handle.write(content))
        return result

    def __enter__(self) -> _Handle:
        return self

    def __exit__(self, *exception: object) -> None:
        self._handle.close()


class Recorder(Watch):
    """`ops`: what happened, in order. Nothing is really synced: nobody loses power here, and disks are slow."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.ops: list[Op] = []
        super().__init__(patch)

    def after(self, op: Op) -> None:
        self.ops.append(op)

    def sync(self, call: Callable[[int], Any], handle: int) -> None:
        """Without the disk."""

    def mark(self, tag: Any) -> None:
        self.ops.append(("done", tag))


def _of(handle: int) -> Path:
    return Path(os.readlink(f"/proc/self/fd/{handle}"))


# --- the disk ---------------------------------------------------------------------------------------------------------
@dataclass
class File:
    """safe: bytes that cannot get lost; now: what a process reads."""

    safe: bytes = b""
    now: bytes = b""


@dataclass
class Folder:
    """safe: entries that cannot get lost; pending: changes since, ("add" | "drop", name, node) or ("move", old, new, node)."""

    safe: dict[str, File | Folder] = field(default_factory=dict)
    now: dict[str, File | Folder] = field(default_factory=dict)
    pending: list[tuple[Any, ...]] = field(default_factory=list)


def after_all(top: Path, ops: list[Op]) -> Folder:
    """The disk below `top` (empty before, and safe) after `ops`."""
    root = Folder()
    for op in ops:
        if op[0] != "done":
            _apply(root, op[0], [path.relative_to(top).parts for path in op[1:] if isinstance(path, Path)], op[-1])
    return root


def _apply(root: Folder, kind: str, paths: list[tuple[str, ...]], content: Any) -> None:
    *above, name = paths[0] or ("",)
    folder = _find(root, above)
    if kind == "fsync":
        node = _find(root, paths[0])
        if isinstance(node, File):
            node.safe = node.now
        else:
            node.safe, node.pending = dict(node.now), []
    elif kind == "write":
        node = folder.now[name]
        node.now += content
    elif kind == "create" and name in folder.now:
        folder.now[name].now = b""
    elif kind in ("mkdir", "create"):
        folder.now[name] = Folder() if kind == "mkdir" else File()
        folder.pending.append(("add", name, folder.now[name]))
    elif kind == "rename":
        assert paths[1][:-1] == tuple(above), "a rename from one folder into another is not modelled"
        node = folder.now.pop(name)
        folder.now[paths[1][-1]] = node
        folder.pending.append(("move", name, paths[1][-1], node))
    else:
        folder.pending.append(("drop", name, folder.now.pop(name)))


def _find(root: Folder, parts: Any) -> Any:
    node: Any = root
    for part in parts:
        node = node.now[part]
    return node


def contents(node: Folder) -> dict[str, Any]:
    """What a process sees, as nested mappings."""
    return {name: below.now if isinstance(below, File) else contents(below) for name, below in node.now.items()}


def on_disk(folder: Path) -> dict[str, Any]:
    """The same of a real folder."""
    return {path.name: on_disk(path) if path.is_dir() else path.read_bytes() for path in folder.iterdir()}


def power_fails(disk: Folder, chance: random.Random, target: Path) -> None:
    """Make in `target` one of the trees that the disk may hold afterwards."""
    target.mkdir()
    for name, node in _entries(disk, chance).items():
        if isinstance(node, Folder):
            power_fails(node, chance, target / name)
        else:
            (target / name).write_bytes(_bytes(node, chance))


def _entries(folder: Folder, chance: random.Random) -> dict[str, File | Folder]:
    entries = dict(folder.safe)
    for change in _happened(folder.pending, chance):
        kind, name, node = change[0], change[1], change[-1]
        if kind == "add":
            entries[name] = node
        elif entries.get(name) is node:  # else it needs what did not happen
            del entries[name]
            if kind == "move":
                entries[change[2]] = node
    return entries


def _happened(pending: list[tuple[Any, ...]], chance: random.Random) -> Iterator[tuple[Any, ...]]:
    how = chance.random()
    if how < 0.3:  # in order, as journals do it
        yield from pending[: chance.randint(0, len(pending))]
    elif how < 0.5:
        yield from pending
    else:
        yield from (change for change in pending if chance.random() < 0.5)


def _bytes(file: File, chance: random.Random) -> bytes:
    if file.safe == file.now:
        return file.now
    cut = chance.randint(0, len(file.now))
    zeros = bytes(len(file.now))
    return chance.choice(
        [file.now, file.safe, file.now[:cut], zeros, zeros[:cut] + file.now[cut:], file.now[:cut] + zeros[cut:]]
    )
