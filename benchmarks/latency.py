"""Latency of every row kernel and of the released packed networks, beside the baseline of this kind of machine.

    python benchmarks/latency.py              compares; exit code 1 where a case takes 15 % more than it took
    python benchmarks/latency.py --record     stores what is measured: on an idle machine only

Median of 15 rounds in turn with a yardstick (qsr/bench/baseline.py). `make nightly` runs the comparison as drill M6.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np

from qsr import _kernels as extension
from qsr.bench import baseline
from qsr.runtime.model import load
from qsr.zoo.index import get, read_index

FOLDER = Path(__file__).parent / "results"
HEIGHT, WIDTH, CHANNELS = 48, 96, 64
RANGES = ((0, 255, -128, 127), (0, 15, -8, 7), (0, 15, -4, 3), (0, 7, -4, 3), (0, 3, -2, 1), (-1, 1, -1, 1))


def cases() -> dict[str, Callable[[], float]]:
    """Name -> work that returns its seconds: the yardstick, kernels that run here, released networks, all on one thread."""
    made: dict[str, Callable[[], float]] = {baseline.YARDSTICK: yardstick()}
    for kernel in extension.row_kernels():
        if kernel["supported"] and kernel["isa"] != "portable" and (work := kernel_case(kernel["name"], kernel["input"])):
            made[f"kernel {kernel['name']}"] = work
    for model in read_index():
        if model.packed:
            made[f"network {model.name}"] = network_case(get(model.name, packed=True))
    return made


def yardstick() -> Callable[[], float]:
    """Floats and memory, in numpy alone: what makes a machine slow today makes this slow too."""
    x = np.random.default_rng(0).standard_normal((256, 256)).astype(np.float32)

    def work() -> float:
        begun = perf_counter()
        y = x
        for _ in range(40):
            y = np.tanh(y * np.float32(1.01) + x.T)
        return perf_counter() - begun

    return work


def kernel_case(name: str, kind: str) -> Callable[[], float] | None:
    rng = np.random.default_rng(0)
    picture, weights = (HEIGHT, WIDTH, CHANNELS), (CHANNELS, CHANNELS, 3, 3)
    for ranges in ((),) if kind == "float" else RANGES[-1:] if kind == "bits" else RANGES:
        if kind == "float":
            operands = rng.standard_normal(picture).astype(np.float32), rng.standard_normal(weights).astype(np.float32)
        elif kind == "bits":
            operands = rng.choice([-1, 1], picture).astype(np.int16), rng.choice([-1, 1], weights).astype(np.int16)
        else:
            operands = (
                rng.integers(ranges[0], ranges[1] + 1, picture, np.int16),
                rng.integers(ranges[2], ranges[3] + 1, weights, np.int16),
            )
        if extension.row_kernel_accepts(name, *operands, ranges):
            return lambda: float(extension.run_row_kernel(name, *operands, ranges, 3)[1])
    return None


def network_case(path: Path) -> Callable[[], float]:
    net = load(path, threads=1)
    picture = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)

    def work() -> float:
        begun = perf_counter()
        net.upscale(picture, tile=None)
        return perf_counter() - begun

    return work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--rounds", type=int, default=baseline.ROUNDS)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    chosen = parser.parse_args()
    before, why = baseline.find(chosen.folder)
    if before is None and not chosen.record:
        print(f"not run: {why}")
        return
    now = baseline.medians(cases(), chosen.rounds)
    if chosen.record:
        print("wrote", baseline.store(chosen.folder, now, time.strftime("%Y-%m-%d", time.gmtime())))
        return
    assert before is not None
    changes = baseline.compare(before.ms, now)
    for change in changes:
        print(change.line())
    sys.exit(any(change.verdict == "fail" for change in changes))


if __name__ == "__main__":
    main()
