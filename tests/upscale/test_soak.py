"""10,000 pictures of many sizes and kinds, some of them broken, in one process: memory, files and threads stay flat (T9).

python tests/upscale/test_soak.py FOLDER 10000     # one JSON line per 1 % of the pictures
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.drill import Drill

REPOSITORY = Path(__file__).resolve().parents[2]
KINDS = ("png", "jpg", "bmp", "webp", "grey.png", "alpha.png", "deep.png", "broken.png")
SIZES = 100
COUNT = int(os.environ.get("QSR_SOAK_PICTURES", "10000"))


def write_pictures(folder: Path) -> list[Path]:
    """SIZES pictures, 8 to 40 pixels a side, no size twice, of all kinds."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(SIZES):
        height, width = 8 + number % 10 * 3, 8 + number // 10 * 3
        path = folder / f"{number}.{KINDS[number % len(KINDS)]}"
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        if "grey" in path.name:
            Image.fromarray(pixels[:, :, 0]).save(path)
        elif "alpha" in path.name:
            Image.fromarray(np.dstack([pixels, pixels[:, :, :1]])).save(path)
        elif "deep" in path.name:
            Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257).save(path)
        else:
            Image.fromarray(pixels).save(path)
        if "broken" in path.name:
            path.write_bytes(path.read_bytes()[:-20])
        paths.append(path)
    return paths


def upscale_many(folder: Path, count: int) -> None:
    """Upscale the pictures of `folder` over and over with a two-bit network; print {done, failed, rss, fds, threads}."""
    from qsr.runtime.model import Model
    from qsr.upscale.batch import How, one
    from qsr.upscale.names import plan
    from tests.runtime.packed.build import conv_net

    os.fsync = lambda handle: None  # the disk's speed is not what is looked at
    model = Model(*conv_net("w2a2", features=8, blocks=1), threads=1)
    jobs = plan([str(folder)], f"{folder.parent}/out/", model.scale, None).jobs
    done = failed = 0
    for number in range(1, count + 1):
        try:
            done += one(model, jobs[number % len(jobs)], How("soak", overwrite=True)).state == "done"
        except Exception:  # as the batch does
            failed += 1
        if number % max(count // 100, 1) == 0:
            rss = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            fds, threads = len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
            print(json.dumps({"done": done, "failed": failed, "rss": rss, "fds": fds, "threads": threads}), flush=True)


@pytest.mark.nightly
@pytest.mark.timeout(7200)
@pytest.mark.drill("T9")
def test_nothing_grows(tmp_path: Path, drill: Drill) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    broken = sum("broken" in path.name for path in write_pictures(pictures))
    command = [sys.executable, __file__, str(pictures), str(COUNT)]
    child = subprocess.run(
        command, capture_output=True, text=True, cwd=REPOSITORY, env=os.environ | {"PYTHONPATH": str(REPOSITORY)}
    )
    assert child.returncode == 0, child.stderr
    samples = [json.loads(line) for line in child.stdout.splitlines()]
    rss = [sample["rss"] for sample in samples]
    print(f"{samples[-1]}, resident memory {rss[0] / 2**20:.1f} to {rss[-1] / 2**20:.1f} MiB, at most {max(rss) / 2**20:.1f}")
    drill.count(COUNT)
    assert samples[-1]["done"] + samples[-1]["failed"] == COUNT
    assert samples[-1]["failed"] == COUNT * broken // SIZES
    settled = len(samples) // 5
    assert max(rss[settled:]) < 1.01 * max(rss[: settled + 1]), rss
    assert len({(sample["fds"], sample["threads"]) for sample in samples[settled:]}) == 1


if __name__ == "__main__":
    upscale_many(Path(sys.argv[1]), int(sys.argv[2]))
