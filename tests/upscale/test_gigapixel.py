"""A picture of any size streams in 1.5 GiB, and its rows are those that single tiles give (M1)."""

from __future__ import annotations

import os
import subprocess
import sys
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qsr.runtime.model import Model
from qsr.runtime.packed import container
from tests.drill import NIGHTLY
from tests.runtime.packed.build import conv_net

try:
    import pyvips
except (ImportError, OSError):
    pyvips = None

LIMIT = 1.5 * 2**30
WAITS = """
import os, subprocess, sys
child = subprocess.Popen(sys.argv[1:])
_, status, usage = os.wait4(child.pid, 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""
TILE = 1000  # of the reference, about: no tile of the stream is the same


def write_large(path: Path, side: int, height: int) -> None:
    """A tiled TIFF without repetition: a noisy pattern of odd size, shaded from top to bottom and from left to right."""
    rng = np.random.default_rng(0)
    pattern = rng.integers(30, 226, (509, 761, 3)).astype(np.uint8)
    image = pyvips.Image.new_from_array(pattern).replicate(side // 761 + 1, height // 509 + 1).crop(0, 0, side, height)
    place = pyvips.Image.xyz(side, height)
    shaded = image + place.extract_band(0) * (29.0 / side) - place.extract_band(1) * (29.0 / height)
    picture = shaded.cast("uchar").copy(interpretation="srgb")
    picture.tiffsave(str(path), tile=True, tile_width=256, tile_height=256, compression="lzw", bigtiff=True)


def enlarged(source: Path, out: Path, net: Path) -> int:
    """Peak resident bytes of `qsr upscale`, a process of its own.

    Started by a small process: what a process has at most begins with what the one had that it was forked from.
    """
    command = [sys.executable, "-m", "qsr.cli.main", "upscale", str(source), "-o", str(out), "-m", str(net)]
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    done = subprocess.run(
        [sys.executable, "-S", "-c", WAITS, *command], env=environment, check=True, capture_output=True, text=True
    )
    return int(done.stdout.split()[-1]) * 1024


def rows(image: Any, top: int, count: int) -> np.ndarray:
    data = image.crop(0, top, image.width, count).write_to_memory()
    return np.frombuffer(data, np.uint8).reshape(count, image.width, 3)


def tile_of(model: Model) -> int:
    """About TILE, a multiple of what tiles have to begin at."""
    align = model._get(None).align
    return TILE // align * align


def checksums(source: Path, out: Path, model: Model, bands: list[int]) -> tuple[list[str], list[str]]:
    """Of every row of the bands: as it lies in the result, and as tiles with their surroundings give it."""
    given = pyvips.Image.new_from_file(str(source))
    made = pyvips.Image.new_from_file(str(out))
    pyvips.cache_set_max(0)
    width, height, scale = given.width, given.height, model.scale
    ready = model._get(None)  # float kernels round by block: tiles begin where blocks do
    around, step = ready.context, tile_of(model)
    assert model.receptive_field is not None
    found, expected = [], []
    for top in bands:
        count = min(step, height - top)
        band = np.empty((count * scale, width * scale, 3), np.uint8)
        for left in range(0, width, step):
            columns = min(step, width - left)
            first, begin = max(top - around, 0), max(left - around, 0)
            last, end = min(top + count + around, height), min(left + columns + around, width)
            part = given.crop(begin, first, end - begin, last - first).write_to_memory()
            tile = model.upscale(np.frombuffer(part, np.uint8).reshape(last - first, end - begin, 3), tile=None)
            y, x = (top - first) * scale, (left - begin) * scale
            band[:, left * scale : (left + columns) * scale] = tile[y : y + count * scale, x : x + columns * scale]
        expected += [blake2b(row, digest_size=8).hexdigest() for row in band]
        found += [blake2b(row, digest_size=8).hexdigest() for row in rows(made, top * scale, count * scale)]
    return found, expected


@pytest.mark.drill("M1")
@pytest.mark.timeout(7000)
@pytest.mark.skipif(pyvips is None, reason="pyvips is not installed: pip install 'qsr[large]'")
def test_a_picture_of_any_size_streams_in_its_memory(drill, tmp_path: Path) -> None:
    """Push: 2048 x 2048, two bands of rows; nightly: 32768 x 32768, every row. BigTIFF, so that any size is streamed.

    QSR_M1_SIDE, QSR_M1_ROWS and QSR_M1_BANDS (bands of about 1000 rows of the input, chosen at random) make it shorter.
    """
    side = int(os.environ.get("QSR_M1_SIDE", "32768" if NIGHTLY else "2048"))
    source, out, net = tmp_path / "large.tif", tmp_path / "out.tif", tmp_path / "net.qsr"
    container.write(net, *conv_net("w2a2", features=8, blocks=1))
    height = int(os.environ.get("QSR_M1_ROWS", side))
    write_large(source, side, height)
    peak = enlarged(source, out, net)
    model = Model(*container.read(net), threads=None)
    step = tile_of(model)
    bands = list(range(0, height, step))
    wanted = int(os.environ.get("QSR_M1_BANDS", str(len(bands)) if NIGHTLY else "2"))
    bands = sorted(drill.random.sample(bands, min(wanted, len(bands))))
    found, expected = checksums(source, out, model, bands)
    out.unlink()
    source.unlink()
    drill.count(len(found))
    print(f"{side} x {height}: peak {peak / 2**30:.2f} GiB, {len(found)} rows compared")
    wrong = [number for number, (ours, theirs) in enumerate(zip(found, expected)) if ours != theirs]
    if wrong:
        drill.fail(f"{len(wrong)} of {len(found)} rows differ from the tiles', the first is {wrong[0]}")
    assert len(found) == 2 * sum(min(step, height - top) for top in bands)
    assert peak <= LIMIT
