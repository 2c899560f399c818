"""Checkpoints that survive a crash at any moment: one directory each, complete or absent.

    checkpoints/00001000/{model.safetensors, training.safetensors, state.json, MANIFEST.json}
    checkpoints/LATEST            the name of the newest one, a small file

Written as `.00001000.tmp-<pid>/` beside its final place, every file synced, MANIFEST.json (sizes and BLAKE2 hashes)
last, then renamed, then LATEST is replaced. The reader believes nothing but a manifest that verifies. Files are
synced before the rename, and the rename before LATEST, so no order of lost writes can leave LATEST without a good
checkpoint behind it (on a POSIX filesystem; NFS promises less).

Not here: what is inside a checkpoint (state.py).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from qsr.errors import FormatError
from qsr.files import fsync_directory, process_alive, storage_fault, write_atomic, write_synced

MANIFEST = "MANIFEST.json"
LATEST = "LATEST"
_NAME = re.compile(r"\d{8,}")
_UNFINISHED = re.compile(r"\..+\.(tmp|old)-(\d+)")


def write(root: Path, iteration: int, fill: Callable[[Path], None], keep: int) -> Path:
    """Write checkpoint `iteration` under `root`; `fill(folder)` puts its files into `folder`, each of them synced.

    Afterwards LATEST names it and older ones beyond `keep` are gone. Raises EnvironmentFault if the disk refuses; then
    everything that was there before is still there.
    """
    final = root / f"{iteration:08d}"
    temporary = root / f".{final.name}.tmp-{os.getpid()}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        sweep(root)
        os.mkdir(temporary)
        fill(temporary)
        write_synced(temporary / MANIFEST, _manifest(temporary))
        fsync_directory(temporary)
        _install(temporary, final)
        write_atomic(root / LATEST, final.name.encode())
        verify(final)
        _prune(root, final, keep)
    except OSError as fault:
        raise storage_fault(temporary, 0, fault) from fault
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return final


def verify(folder: Path) -> None:
    """Raises FormatError unless every file of the manifest is there with its size and hash, and no other."""
    try:
        listed = json.loads((folder / MANIFEST).read_bytes())["files"]
        found = {path.name for path in folder.iterdir()} - {MANIFEST}
        if found != set(listed):
            raise FormatError(f"files {sorted(found)}, the manifest lists {sorted(listed)}", where=str(folder))
        for name, facts in listed.items():
            if (folder / name).stat().st_size != facts["bytes"] or _hash(folder / name) != facts["blake2b"]:
                raise FormatError("content differs from the manifest", where=str(folder / name))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
        raise FormatError(f"incomplete checkpoint ({fault})", where=str(folder)) from fault


def newest(root: Path, say: Callable[[str], None]) -> Path | None:
    """The checkpoint to resume from: LATEST's if it verifies, else the newest that does (told through `say`), else None.

    Raises FormatError if there are checkpoints but none verifies: starting again silently would bury days of work.
    """
    candidates = _all(root)
    pointer = root / LATEST
    named = pointer.read_text().strip() if pointer.exists() else ""
    if _NAME.fullmatch(named) and root / named not in candidates:
        say(f"{pointer}: names {named}, which is not there")
    candidates.sort(key=lambda folder: (folder.name == named, folder.name), reverse=True)
    for folder in candidates:
        try:
            verify(folder)
        except FormatError as fault:
            say(f"damaged checkpoint passed over: {fault}")
            continue
        return folder
    if candidates:
        raise FormatError("no checkpoint is intact", where=str(root), hint="--overwrite starts the experiment again")
    return None


def sweep(root: Path) -> None:
    """Remove what killed processes left unfinished; unfinished work of a live process stays."""
    for path in root.iterdir():
        match = _UNFINISHED.fullmatch(path.name)
        if match and (int(match[2]) == os.getpid() or not process_alive(int(match[2]))):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _all(root: Path) -> list[Path]:
    return [path for path in sorted(root.glob("*")) if _NAME.fullmatch(path.name) and path.is_dir()]


def _install(temporary: Path, final: Path) -> None:
    """Rename into place. An older directory of the same name (a resumed run passes its iteration again) steps aside first."""
    if final.exists():
        aside = final.with_name(f".{final.name}.old-{os.getpid()}")
        os.rename(final, aside)
        os.rename(temporary, final)
        shutil.rmtree(aside)
    else:
        os.rename(temporary, final)
    fsync_directory(final.parent)


def _prune(root: Path, latest: Path, keep: int) -> None:
    """Keep `latest` and the newest before it; later ones belong to a future that a resume has abandoned."""
    past = [folder for folder in _all(root) if folder.name < latest.name]
    future = [folder for folder in _all(root) if folder.name > latest.name]
    for folder in future + past[: max(len(past) - keep + 1, 0)]:
        shutil.rmtree(folder)


def _manifest(folder: Path) -> bytes:
    files = {path.name: {"bytes": path.stat().st_size, "blake2b": _hash(path)} for path in sorted(folder.iterdir())}
    return json.dumps({"version": 1, "files": files}, indent=1).encode()


def _hash(path: Path) -> str:
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
