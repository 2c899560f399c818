"""The packed file of a released model, and how long it takes: what `qsr upscale` and `qsr bench` use by its name.

Full-precision weights are stored as float16. Networks with quantized bodies get a tail of 8 bits, set without training,
which costs nothing that can be measured (docs/export.md); full-precision ones keep theirs.
"""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from qsr.export.command import Packing, export_packed
from qsr.runtime.cpu import cpu_name
from qsr.runtime.model import Model, load
from qsr.zoo.index import ZooModel, digest

WIDTH, HEIGHT = 320, 180  # of the LR picture that is timed
ROUNDS = 9


def pack(model: ZooModel, folder: Path, measure: bool = True) -> ZooModel:
    """Write NAME.qsr beside the model's file, replacing one that is there; the entry that knows it.

    measure: also time it. Raises as `export_packed`.
    """
    quantized = model.w_bits < 32 or model.a_bits < 32
    how = Packing(floats="fp16", tail="int8" if quantized else "fp16")
    target = folder / f"{model.name}.qsr"
    export_packed(folder / model.file, target, how)
    entry = replace(
        model, packed=target.name, packed_bytes=target.stat().st_size, packed_sha256=digest(target), tail=how.tail, ms=None
    )
    if not measure:
        return replace(entry, ms_of="")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    running = load(target, threads=cores)
    return replace(entry, ms=milliseconds(running), ms_of=f"LR {WIDTH}x{HEIGHT}, {cores} threads, {cpu_name()}")


def milliseconds(model: Model) -> float:
    """Median of some runs on one picture, after one that is not counted."""
    picture = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    times = []
    for _ in range(ROUNDS + 1):
        start = time.perf_counter()
        model.upscale(picture, tile=None)
        times.append(1e3 * (time.perf_counter() - start))
    return round(statistics.median(times[1:]), 2)
