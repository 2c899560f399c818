"""Checkpoints that survive a crash at any moment: one directory each, complete or absent.

    checkpoints/00001000/{model.safetensors, training.safetensors, state.json, MANIFEST.json}
    checkpoints/LATEST            the name of the newest one, a small file

Written as `.00001000.tmp-<pid>/` beside its final place, every file synced, MANIFEST.json (sizes and BLAKE2 hashes)
last, then renamed, then LATEST is replaced. The reader believes nothing but a manifest that verifies. Files are
synced before the rename, and the rename before LATEST, so no order of lost writes can leave LATEST without a good
checkpoint behind it (on a POSIX filesystem; NFS promises less).

Whoever calls `write` or `newest` holds the experiment's lock: what other processes left here they left dead.

Not here: what is inside a checkpoint (state.py).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

from qsr.errors import EnvironmentFault, FormatError
from qsr.files import fsync_directory, make_folders, process_alive, storage_fault, write_atomic, write_synced

MANIFEST = "MANIFEST.json"
VERSION = 1
MANIFEST_BYTES = 1 << 20
"""A manifest is a few hundred bytes; a larger file is none, and is not read into memory to find out."""
LATEST = "LATEST"
_NAME = re.compile(r"[0-9]{8,}")
_UNFINISHED = re.compile(r"\.(.+)\.(tmp|old)-(\d+)")


class OtherVersion(FormatError):
    """Written by another version of qsr: not damaged, so no older one is taken in its place (the next save would remove it)."""


def write(root: Path, iteration: int, fill: Callable[[Path], None], keep: int) -> Path:
    """Write checkpoint `iteration` under `root`; `fill(folder)` puts its files into `folder`, each of them synced.

    Afterwards LATEST names it and older ones beyond `keep` are gone. Raises EnvironmentFault if the disk refuses; then
    everything that was there before is still there.
    """
    final = root / f"{iteration:08d}"
    temporary = root / f".{final.name}.tmp-{os.getpid()}"
    try:
        make_folders(root)
        put_back(root)
        sweep(root)
        os.mkdir(temporary)
        fill(temporary)
        write_synced(temporary / MANIFEST, _manifest(temporary))
        fsync_directory(temporary)
        _read_back(temporary)
        _install(temporary, final)
        write_atomic(root / LATEST, final.name.encode())
        _prune(root, final, keep)
    except OSError as fault:
        raise storage_fault(temporary, 0, fault) from fault
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return final


def verify(folder: Path) -> None:
    """Raises FormatError unless every file of the manifest is there with its size and hash, and no other."""
    try:
        if _size(folder / MANIFEST) > MANIFEST_BYTES:
            raise FormatError(f"larger than {MANIFEST_BYTES:,} bytes, not a manifest", where=str(folder / MANIFEST))
        manifest = json.loads((folder / MANIFEST).read_bytes())
        if manifest["version"] != VERSION:
            message = f"manifest of version {manifest['version']}, this qsr reads {VERSION}"
            raise OtherVersion(message, where=str(folder), hint="upgrade qsr")
        listed = manifest["files"]
        found = {path.name for path in folder.iterdir()} - {MANIFEST}
        if found != set(listed):
            raise FormatError(f"files {sorted(found)}, the manifest lists {sorted(listed)}", where=str(folder))
        for name, facts in listed.items():
            if _size(folder / name) != facts["bytes"] or digest(folder / name) != facts["blake2b"]:
                raise FormatError("content differs from the manifest", where=str(folder / name))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as fault:
        raise FormatError(f"incomplete checkpoint ({fault})", where=str(folder)) from fault


def newest(root: Path, say: Callable[[str], None], check: Callable[[Path], None] = lambda folder: None) -> Path | None:
    """The checkpoint to resume from: LATEST's if it verifies, else the newest that does (told through `say`), else None.

    check: raises FormatError for a folder whose files are whole but do not belong together.
    Raises FormatError if there are checkpoints, or there is a LATEST, but none verifies: starting again silently would bury
    days of work; and OtherVersion where the one that would be taken is of another version of qsr.
    """
    if not root.is_dir():
        return None
    put_back(root)
    candidates = _all(root)
    named = _named(root, say)
    if named and root / named not in candidates:
        say(f"{root / LATEST}: names {named}, which is not there")
    candidates.sort(key=lambda folder: (folder.name == named, _iteration(folder)), reverse=True)
    for folder in candidates:
        try:
            verify(folder)
            check(folder)
        except OtherVersion:
            raise
        except FormatError as fault:
            say(f"damaged checkpoint passed over: {fault}")
            continue
        return folder
    if candidates or named is not None:
        raise FormatError("no checkpoint is intact", where=str(root), hint="--overwrite starts the experiment again")
    return None


def put_back(root: Path) -> None:
    """Undo a replacement that was cut off between its two renames (`_install`): what stepped aside is the checkpoint still."""
    for path in root.iterdir():
        match = _UNFINISHED.fullmatch(path.name)
        if match and match[2] == "old" and _NAME.fullmatch(match[1]) and not (root / match[1]).exists():
            os.rename(path, root / match[1])


def sweep(root: Path) -> None:
    """Remove what killed processes left unfinished; unfinished work of a live process stays."""
    for path in root.iterdir():
        match = _UNFINISHED.fullmatch(path.name)
        if match and (int(match[3]) == os.getpid() or not process_alive(int(match[3]))):
            _remove(path)


def digest(path: Path) -> str:
    """The BLAKE2 hash of a file, 32 hex digits."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _size(path: Path) -> int:
    """Bytes of an ordinary file; FormatError for anything else: reading a pipe would wait for ever."""
    info = path.stat()
    if not stat.S_ISREG(info.st_mode):
        raise FormatError("not an ordinary file", where=str(path))
    return info.st_size


def _named(root: Path, say: Callable[[str], None]) -> str | None:
    """The name in LATEST; "" (told through `say`) if it holds no name of a checkpoint, None if there is no LATEST."""
    pointer = root / LATEST
    try:
        with open(pointer, "rb") as handle:
            name = handle.read(100).decode("ascii", "replace").strip()
    except FileNotFoundError:
        return None
    except OSError as fault:
        say(f"{pointer}: cannot be read ({fault.strerror})")
        return ""
    if not _NAME.fullmatch(name):
        say(f"{pointer}: names no checkpoint")
        return ""
    return name


def _all(root: Path) -> list[Path]:
    return sorted((path for path in root.iterdir() if _NAME.fullmatch(path.name) and path.is_dir()), key=_iteration)


def _iteration(folder: Path) -> int:
    return int(folder.name)


def _read_back(temporary: Path) -> None:
    """Nothing old is replaced or removed before the new one is known to be readable."""
    try:
        verify(temporary)
    except FormatError as fault:
        raise EnvironmentFault(f"what was written reads back differently: {fault}", hint="check the disk") from fault


def _install(temporary: Path, final: Path) -> None:
    """Rename into place. An older directory of the same name (a resumed run passes its iteration again) steps aside first,
    and goes when the renames are durable: the loss of its files must not reach the disk before them."""
    if not final.exists():
        os.rename(temporary, final)
        fsync_directory(final.parent)
        return
    aside = final.with_name(f".{final.name}.old-{os.getpid()}")
    os.rename(final, aside)
    try:
        os.rename(temporary, final)
    except OSError:
        os.rename(aside, final)
        raise
    fsync_directory(final.parent)
    _remove(aside)


def _prune(root: Path, latest: Path, keep: int) -> None:
    """Keep `latest` and the newest before it; later ones belong to a future that a resume has abandoned."""
    past = [folder for folder in _all(root) if _iteration(folder) < _iteration(latest)]
    future = [folder for folder in _all(root) if _iteration(folder) > _iteration(latest)]
    for folder in future + past[: max(len(past) - keep + 1, 0)]:
        shutil.rmtree(folder)


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _manifest(folder: Path) -> bytes:
    files = {path.name: {"bytes": path.stat().st_size, "blake2b": digest(path)} for path in sorted(folder.iterdir())}
    return json.dumps({"version": VERSION, "files": files}, indent=1).encode()
