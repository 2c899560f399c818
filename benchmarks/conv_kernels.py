"""Single row kernels, 3x3 at 320x180: milliseconds, GMAC/s, share of what the instructions can do, against torch in float32.

    python benchmarks/conv_kernels.py [--threads 1] [--rounds 5] [--only b1b1]

Every kernel of this machine that takes 64 -> 64 or 32 -> 32 channels, in turn with torch; min and median of the rounds. The
share is of the peak of plain instructions (fp32 multiply-add; vpdpbusd or vpmaddubsw; xor, count, add or a table look-up): a
kernel that needs fewer of them, Winograd or carry-saving adders, may exceed 1. Several threads: each has its share of the
rows. Last, whole convolutions of one bit: with bits in and out (sums compared with thresholds) and with floats in and out.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray

from qsr import _kernels as extension

HEIGHT, WIDTH = 180, 320
# widest first; a kernel is shown with the first that it takes
RANGES = ((0, 255, -128, 127), (0, 15, -8, 7), (0, 15, -4, 3), (0, 7, -4, 3), (0, 3, -2, 1), (-1, 1, -1, 1))


def operands(kind: str, channels: int, ranges: tuple[int, ...], rows: int) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    rng = np.random.default_rng(0)
    picture, weights = (rows, WIDTH, channels), (channels, channels, 3, 3)
    if kind == "float":
        return rng.standard_normal(picture).astype(np.float32), rng.standard_normal(weights).astype(np.float32)
    if kind == "bits":
        return rng.choice([-1, 1], picture).astype(np.int16), rng.choice([-1, 1], weights).astype(np.int16)
    return rng.integers(ranges[0], ranges[1] + 1, picture, np.int16), rng.integers(ranges[2], ranges[3] + 1, weights, np.int16)


def ranges_of(kernel: dict[str, object], channels: int) -> tuple[int, ...] | None:
    kind = str(kernel["input"])
    for ranges in ((),) if kind == "float" else RANGES[-1:] if kind == "bits" else RANGES:
        if extension.row_kernel_accepts(kernel["name"], *operands(kind, channels, ranges, 1), ranges):
            return ranges
    return None


def at_once(threads: int, work: Callable[[], float]) -> float:
    """Seconds of the slowest of `threads` that do `work` at the same time."""
    with ThreadPoolExecutor(threads) as pool:
        return max(future.result() for future in [pool.submit(work) for _ in range(threads)])


def torch_seconds(channels: int, layout: torch.memory_format) -> Callable[[], float]:
    convolve = torch.nn.Conv2d(channels, channels, 3, padding=1).to(memory_format=layout)
    picture = torch.randn(1, channels, HEIGHT, WIDTH).contiguous(memory_format=layout)

    def run() -> float:
        best = 1e9
        with torch.inference_mode():
            for _ in range(4):
                begun = perf_counter()
                convolve(picture)
                best = min(best, perf_counter() - begun)
        return best

    return run


def kernel_seconds(name: str, kind: str, channels: int, ranges: tuple[int, ...], threads: int) -> Callable[[], float]:
    picture, weights = operands(kind, channels, ranges, HEIGHT // threads)
    return lambda: at_once(threads, lambda: float(extension.run_row_kernel(name, picture, weights, ranges, 4)[1]))


def epilogue_seconds(isa: str, channels: int, way: str, threads: int) -> Callable[[], float]:
    """Seconds of a picture's epilogue: `bits` out of sums, or a float picture into bits and sums into floats."""
    rng = np.random.default_rng(0)
    scale, sink = rng.standard_normal((1, channels)).astype(np.float32), {"kind": "bits"}
    chunk, pixels = 256, HEIGHT * WIDTH // threads  # sums come in chunks from the cache, floats from all over memory
    sums = rng.integers(-64, 64, (1, chunk if way == "bits" else pixels, channels)).astype(np.int32)

    def work() -> float:
        if way == "bits":
            options = {"scale": scale, "sinks": [sink], "thresholds": True}
            return float(extension.run_epilogue(isa, sums, options, 50)["seconds"]) * pixels / chunk
        first = extension.run_epilogue(isa, sums.astype(np.float32), {"sinks": [sink]}, 3)["seconds"]
        return float(first + extension.run_epilogue(isa, sums, {"scale": scale, "out": True}, 3)["seconds"])

    return lambda: at_once(threads, work)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="kernels with this in their name")
    arguments = parser.parse_args()
    threads = arguments.threads
    torch.set_num_threads(threads)
    for channels in (64, 32):
        macs = HEIGHT * WIDTH * 9 * channels**2
        layouts = {"torch fp32": torch.contiguous_format, "torch fp32 channels_last": torch.channels_last}
        entries = {name: torch_seconds(channels, layout) for name, layout in layouts.items()}
        peaks: dict[str, float] = {}
        for kernel in extension.row_kernels():
            name, isa, kind = kernel["name"], kernel["isa"], kernel["input"]
            if isa == "portable" or not kernel["supported"] or arguments.only not in name:
                continue
            if (ranges := ranges_of(kernel, channels)) is None:
                continue
            shown = f"{name} {ranges}" if kind == "bytes" else name
            entries[shown] = kernel_seconds(name, kind, channels, ranges, threads)
            peaks[shown] = extension.measure_peak(isa)[kind] * threads
            if kind == "bits":
                for way in ("bits", "floats"):
                    parts = (entries[shown], epilogue_seconds(isa, channels, way, threads))
                    entries[f"{name}, {way} in and out"] = lambda parts=parts: parts[0]() + parts[1]()  # type: ignore[misc]
        seconds: dict[str, list[float]] = {name: [] for name in entries}
        for _ in range(arguments.rounds):
            for name, run in entries.items():
                seconds[name].append(run())
        print(
            f"{channels} -> {channels}, {WIDTH}x{HEIGHT}, {threads} thread(s)      min ms  median     GMAC/s  of peak  x torch"
        )
        least = min(min(seconds[name]) for name in layouts)
        for name, times in seconds.items():
            best, rate = min(times), macs / min(times) / 1e9
            share = f"{macs / best / peaks[name]:8.2f}" if peaks.get(name) else 8 * " "
            print(f"{name:50} {1e3 * best:8.3f} {1e3 * statistics.median(times):7.3f} {rate:10.0f} {share} {least / best:8.1f}")


if __name__ == "__main__":
    main()
