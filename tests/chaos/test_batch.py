"""A thousand pictures, one in twenty broken, the process killed in the middle, then run twice more (M5)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qsr.runtime.model import Model
from qsr.runtime.packed import container
from tests.runtime.packed.build import conv_net

FILES, BROKEN = 1000, 50
KINDS = (".png", ".jpg", ".webp")


def pictures(folder: Path, rng: np.random.Generator) -> tuple[set[str], set[str]]:
    """Names of whole ones and of broken ones: cut short, a bit flipped in a PNG, nothing, something else."""
    folder.mkdir()
    broken = {f"p{number:04d}" for number in rng.choice(FILES, BROKEN, replace=False)}
    for number in range(FILES):
        name, suffix = f"p{number:04d}", KINDS[number % 3]
        path = folder / (name + suffix)
        Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8)).save(path)
        if name in broken:
            data = path.read_bytes()
            cut, other = data[: len(data) // 2], (b"", b"no picture at all", b"\x89PNG\r\n\x1a\n")[number % 3]
            path.write_bytes(other if number % 2 else cut)
    return {f"p{number:04d}" for number in range(FILES)} - broken, broken


def run(folder: Path, out: Path, net: Path, stop_at: int | None = None) -> tuple[int, str, str]:
    """Exit code and what was said. stop_at: SIGKILL as soon as there are so many results.

    What the batch says goes to files: a pipe that nobody empties while we wait stops it after 64 KiB.
    """
    command = [sys.executable, "-m", "qsr.cli.main", "upscale", str(folder), "-o", str(out), "-m", str(net), "--threads", "1"]
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    said, errors = folder.parent / "stdout", folder.parent / "stderr"
    with (
        said.open("wb") as to,
        errors.open("wb") as errors_to,
        subprocess.Popen(command, env=environment, stdout=to, stderr=errors_to) as process,
    ):
        if stop_at is not None:
            end = time.monotonic() + 300
            while (not out.is_dir() or sum(1 for _ in os.scandir(out)) < stop_at) and process.poll() is None:
                if time.monotonic() > end:
                    process.kill()
                    pytest.fail(f"the batch does not get on: {errors.read_text()[-300:]}")
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
        code = process.wait(timeout=300)
    return code, said.read_text(), errors.read_text()


@pytest.mark.drill("M5")
@pytest.mark.timeout(1000)
def test_a_batch_that_is_killed_and_run_again(drill, tmp_path: Path) -> None:
    net = tmp_path / "net.qsr"
    container.write(net, *conv_net("w2a2", features=4, blocks=1))
    model = Model(*container.read(net), threads=1)
    for number in drill.rounds(push=1, nightly=5):
        rng = np.random.default_rng(drill.random.randrange(2**32))
        folder, out = tmp_path / f"in{number}", tmp_path / f"out{number}"
        whole, broken = pictures(folder, rng)
        killed, _, _ = run(folder, out, net, stop_at=drill.random.randrange(50, 500))
        assert killed == -signal.SIGKILL
        before = {path.name for path in out.iterdir() if not path.name.startswith(".")}
        assert 0 < len(before) < len(whole)
        for name in before:  # what has its name is whole
            Image.open(out / name).load()
        code, said, errors = run(folder, out, net)
        summary = said.splitlines()[-1]
        assert code == 3, (code, said[-300:], errors[-300:])
        # a result whose source has the same mark is skipped; a broken source is tried, and named, every time
        assert summary.startswith(f"{len(whole) - len(before)} done, {len(before)} skipped, {BROKEN} failed"), summary
        named = {Path(line.partition(":")[0]).stem for line in errors.splitlines()}
        assert named == broken
        again, said, _ = run(folder, out, net)
        assert again == 3
        assert said.splitlines()[-1].startswith(f"0 done, {len(whole)} skipped, {BROKEN} failed")
        left = sorted(path.name for path in out.iterdir())
        assert left == sorted(f"{name}_x2.png" for name in whole), "no partial file, and nothing of the killed run"
        for name in drill.random.sample(sorted(whole), 10):
            source = next(folder.glob(f"{name}.*"))
            made = np.asarray(Image.open(out / f"{name}_x2.png"))
            if source.suffix == ".png":
                assert np.array_equal(made, model.upscale(np.asarray(Image.open(source))))
        print(f"killed with {len(before)} of {len(whole)} done")
