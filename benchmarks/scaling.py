"""How time grows with threads and with the picture's size, ours beside other engines, interleaved.

python benchmarks/scaling.py net.qsr [--against openvino,onnxruntime] [--sizes 160x90,320x180,640x360,1280x720,1920x1080]
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from qsr.bench import peers
from qsr.bench.run import Settings, bench
from qsr.quantities import picture_size
from qsr.runtime.cpu import cpu_name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--against", default="openvino")
    parser.add_argument("--sizes", default="160x90,320x180,640x360,1280x720,1920x1080")
    parser.add_argument("--seconds", type=float, default=20.0, help="per size and number of threads")
    asked = parser.parse_args()
    engines = tuple(peers.wanted(asked.against)) if asked.against else ()
    cores = len(os.sched_getaffinity(0))
    print(f"{asked.model.name} on {cpu_name()}; median ms (ms per megapixel of input)")
    for threads in sorted({1, cores}):
        for size in asked.sizes.split(","):
            settings = Settings(size=picture_size(size), threads=threads, against=engines, seconds=asked.seconds)
            found = bench(asked.model, settings)
            pixels = settings.size[0] * settings.size[1] / 1e6
            cells = [f"{name} {timing.median:.1f} ({timing.median / pixels:.0f})" for name, timing in found.timings.items()]
            cells += [f"{name} failed: {why}" for name, why in found.failed.items()]
            print(f"{size:>10} {threads} thread{'s' if threads > 1 else ' '}  " + "   ".join(cells), flush=True)


if __name__ == "__main__":
    main()
