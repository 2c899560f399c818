"""What a folder of pictures held when it was last found good: names, sizes in pixels, hashes of the bytes.

JPEG, BMP, TIFF and WebP carry no checksum of their pixels: a flipped bit gives another picture, not an error. Only a
comparison with a manifest finds that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path

from qsr.errors import DataError
from qsr.files import write_atomic
from qsr.jsonfile import read_json

MANIFEST_NAME = "manifest.json"
MANIFEST_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One picture: bytes on disk, (height, width, channels), bits per channel, BLAKE2b-128 of the bytes in hex."""

    bytes: int
    shape: tuple[int, int, int]
    depth: int
    blake2b: str


def digest(data: bytes) -> str:
    """BLAKE2b-128 in hex."""
    return blake2b(data, digest_size=16).hexdigest()


def write_manifest(path: Path, entries: Mapping[str, Entry]) -> None:
    """Write `entries` by file name as JSON, in one step."""
    files = {name: asdict(entry) for name, entry in sorted(entries.items())}
    text = json.dumps({"format": MANIFEST_FORMAT, "files": files}, indent=1)
    write_atomic(path, text.encode())


def read_manifest(path: Path) -> dict[str, Entry]:
    """Entries by file name; DataError when the file is not a manifest of ours."""
    try:
        data = read_json(path)
        if data["format"] != MANIFEST_FORMAT:
            raise DataError(f"format {data['format']!r}, expected {MANIFEST_FORMAT}", where=str(path))
        return {name: Entry(**{**entry, "shape": tuple(entry["shape"])}) for name, entry in data["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
        raise DataError(f"not a manifest: {fault}", where=str(path), hint="remove it and check again") from fault


def compare(before: Mapping[str, Entry], now: Mapping[str, Entry]) -> list[tuple[str, str]]:
    """(file name, what happened) for every file that changed, went or came since the manifest was written."""
    changed = [(name, "changed since the manifest was written") for name in before if name in now and before[name] != now[name]]
    gone = [(name, "in the manifest, but not here") for name in before if name not in now]
    new = [(name, "not in the manifest") for name in now if name not in before]
    return changed + gone + new
