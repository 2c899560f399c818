"""Does this machine resize as MATLAB does? Four small pictures, enlarged and shrunk by 2, 3 and 4; the bytes are stored.

The pictures come from integer formulas, so they are the same everywhere. The stored bytes are those of the resizer whose output
equals files that MATLAB wrote, byte for byte (tests/data/test_resize.py); another order of additions, a fused multiply-add or a
rounding that is not MATLAB's shows here.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qsr.data.resize import Backend, bicubic_upscale, degrade

FILE = Path(__file__).with_name("golden_resize.json")
SCALES = (2, 3, 4)


def pictures() -> dict[str, np.ndarray]:
    """Name -> (h, w, c) uint8: noise, a ramp, black and white squares, one row."""
    rows, columns = np.indices((13, 22))
    squares = np.where((rows // 3 + columns // 4) % 2, 255, 0)
    return {
        "noise": _noise(9, 11, 3),
        "ramp": ((rows * 11 + columns * 5) % 256).astype(np.uint8)[..., None],
        "squares": squares.astype(np.uint8)[..., None],
        "one_row": _noise(1, 9, 1),
    }


def measure(backend: Backend = "numpy") -> dict[str, np.ndarray]:
    """`noise x2` and the like (enlarged), `noise /2` (shrunk, where the picture is large enough) -> (h', w', c) uint8."""
    found = {}
    for name, picture in pictures().items():
        for scale in SCALES:
            found[f"{name} x{scale}"] = bicubic_upscale(picture, scale, backend=backend)
            if min(picture.shape[:2]) >= scale:
                found[f"{name} /{scale}"] = degrade(picture, scale, backend=backend)
    return found


def check(backends: Sequence[Backend] = ("numpy",)) -> list[str]:
    """One sentence per picture that differs from the stored one; empty on a healthy machine."""
    stored = json.loads(FILE.read_text(encoding="utf-8"))
    problems = []
    for backend in backends:
        found = measure(backend)
        for name, entry in stored.items():
            wanted = decoded(entry)
            if name not in found or found[name].shape != wanted.shape:
                problems.append(f"{name} by {backend}: no picture of {wanted.shape}")
                continue
            off = np.abs(found[name].astype(int) - wanted)
            if off.any():
                count = int((off > 0).sum())
                problems.append(f"{name} by {backend}: {count} of {off.size} bytes differ, by {off.max()} at most")
    return problems


def encoded(picture: np.ndarray) -> dict[str, Any]:
    """A picture as JSON keeps it."""
    return {"shape": list(picture.shape), "zlib": base64.b64encode(zlib.compress(picture.tobytes(), 9)).decode()}


def decoded(entry: dict[str, Any]) -> np.ndarray:
    """The (h, w, c) uint8 picture of `encoded`."""
    return np.frombuffer(zlib.decompress(base64.b64decode(entry["zlib"])), np.uint8).reshape(entry["shape"])


def write(path: Path = FILE) -> None:
    """Store what this machine finds; only for whoever adds a picture, after tests/data/test_resize.py passed."""
    lines = (f" {json.dumps(name)}: {json.dumps(encoded(picture))}" for name, picture in measure().items())
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _noise(height: int, width: int, channels: int) -> np.ndarray:
    """Scrambled positions (a multiplicative hash); nothing but integer arithmetic."""
    position = np.arange(1, height * width * channels + 1, dtype=np.uint64)
    mixed = (position * np.uint64(2654435761)) & np.uint64(0xFFFFFFFF)
    mixed = ((mixed ^ (mixed >> np.uint64(15))) * np.uint64(2246822519)) & np.uint64(0xFFFFFFFF)
    return (mixed >> np.uint64(24)).astype(np.uint8).reshape(height, width, channels)
