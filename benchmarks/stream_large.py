"""Peak memory and time of `qsr upscale` on one very large picture: a tiled TIFF that is streamed through the network.

    python benchmarks/stream_large.py --model net.qsr --side 32768 --folder DIR    (an x2 result takes some 6 GB there)

Without --model the released x2 model runs. --side is small by default, so that `make bench` stays short. The limit: 1.5 GiB.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

LIMIT = 1.5 * 2**30
PATTERN = 1024


def make(path: Path, side: int, rows: int) -> None:
    """A picture without repetition to the eye and in little memory: a photograph-like pattern, mirrored, with a gradient."""
    import pyvips

    rng = np.random.default_rng(0)
    y, x = np.mgrid[:PATTERN, :PATTERN] / PATTERN
    waves = [127 + 80 * np.sin(20 * x * (1 + y) + i) + 30 * np.sin(90 * y + i) for i in range(3)]
    pattern = np.clip(np.stack(waves, axis=2) + rng.normal(0, 4, (PATTERN, PATTERN, 3)), 0, 255).astype(np.uint8)
    image = pyvips.Image.new_from_array(pattern).replicate(-(-side // PATTERN), -(-rows // PATTERN)).crop(0, 0, side, rows)
    ramp = pyvips.Image.xyz(side, rows).extract_band(1) * (60.0 / rows)
    shaded = (image - ramp).cast("uchar").copy(interpretation="srgb")
    shaded.tiffsave(str(path), tile=True, tile_width=256, tile_height=256, compression="deflate", bigtiff=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--rows", type=int, help="fewer rows than the side has: memory is the same, time is not")
    parser.add_argument("--model", help="a .qsr file or a released model's name")
    parser.add_argument("--folder", help="where the pictures go; left out: a temporary folder")
    parser.add_argument("--format", default="tiff", choices=["tiff", "png"])
    chosen = parser.parse_args()
    try:
        import pyvips  # noqa: F401
    except (ImportError, OSError):
        print("not run: pyvips is not installed (pip install 'qsr[large]')")
        return
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        source = Path(folder, "large.tif")
        rows = chosen.rows or chosen.side
        make(source, chosen.side, rows)
        print(f"{chosen.side} x {rows}, {source.stat().st_size / 1e6:.0f} MB as TIFF")
        command = [
            sys.executable,
            "-m",
            "qsr.cli.main",
            "upscale",
            str(source),
            "-o",
            f"{folder}/out/",
            "--format",
            chosen.format,
        ]
        begun = time.perf_counter()
        child = subprocess.Popen(command + (["-m", chosen.model] if chosen.model else []))
        _, status, usage = os.wait4(child.pid, 0)  # of this child alone
        seconds = time.perf_counter() - begun
        code = os.waitstatus_to_exitcode(status)
        if code:
            print(f"failed with exit code {code}")
            sys.exit(code)
        peak = usage.ru_maxrss * 1024
        verdict = "within" if peak <= LIMIT else "ABOVE"
        size = sum(path.stat().st_size for path in Path(folder, "out").iterdir())
        print(f"peak memory {peak / 2**30:.2f} GiB, {verdict} 1.5 GiB; {seconds:.1f} s; the result has {size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
