"""The inference track: packed files of a network and of its full-precision twin, timed in turn by the same engine.

Both run in qsr's own runtime, whose full precision is itself faster than the common engines' (docs/bench.md), so the ratio is
what the bits are worth and not what another implementation is worth. Measured twice: with everything that the processor has,
and with the portable kernels, so that the share of the instruction set is visible.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import numpy as np

from qsr.bench.measure import interleaved
from qsr.bibench.cells import Cell
from qsr.export.command import Packing, export_packed
from qsr.runtime.engine import VARIABLE, limit
from qsr.runtime.model import load
from qsr.surroundings import variable

PORTABLE = "portable"
PORTABLE_ROUNDS = 5  # it is several times slower, and its ratio is no headline


def measure(cell: Cell) -> dict[str, Any]:
    """Milliseconds and bytes of both, and the ratios twin / network; the same without the processor's own instructions."""
    settings = cell.settings
    packed = cell.folder / "packed"
    packed.mkdir(parents=True, exist_ok=True)
    ours, theirs = packed / f"{cell.name}.qsr", packed / f"{Path(cell.twin).name}_x{cell.scale}.qsr"
    exported = export_packed(Path(cell.model), ours, Packing(tail=settings["tail"]))
    export_packed(Path(cell.twin), theirs)
    width, height = settings["size"]
    threads = int(settings["threads"]) or len(os.sched_getaffinity(0))
    values: dict[str, Any] = {
        "bytes": {"binary": ours.stat().st_size, "twin": theirs.stat().st_size},
        "bytes_ratio": theirs.stat().st_size / ours.stat().st_size,
        "size": [width, height],
        "threads": threads,
        "isa": limit(),
        "layers": exported.layers,
        **_timed(ours, theirs, width, height, threads, int(settings["rounds"])),
        "commands": _commands(cell, ours, theirs, threads),
    }
    with variable(VARIABLE, PORTABLE):  # read when an engine is made
        values[PORTABLE] = _timed(ours, theirs, width, height, threads, min(PORTABLE_ROUNDS, int(settings["rounds"])))
    return values


def _timed(ours: Path, theirs: Path, width: int, height: int, threads: int, rounds: int) -> dict[str, Any]:
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    models = {"binary": load(ours, threads=threads), "twin": load(theirs, threads=threads)}
    found = interleaved({name: lambda model=model: model.upscale(picture, tile=None) for name, model in models.items()}, rounds)  # type: ignore[misc]
    return {"milliseconds": {name: timing.median for name, timing in found.items()}, "ratio": found["twin"].ratio}


def _commands(cell: Cell, ours: Path, theirs: Path, threads: int) -> list[str]:
    """What makes and times the two files one by one."""
    size = "x".join(map(str, cell.settings["size"]))
    lines = [
        ["qsr", "export", cell.model, "--packed", "-o", str(ours), "--tail", cell.settings["tail"]],
        ["qsr", "export", cell.twin, "--packed", "-o", str(theirs)],
        *(["qsr", "bench", str(file), "--size", size, "--threads", str(threads)] for file in (ours, theirs)),
    ]
    return [shlex.join(line) for line in lines]
