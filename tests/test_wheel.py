"""The wheel in an empty environment: packed networks run there without PyTorch, and what needs it says so in one line."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

REPOSITORY = Path(__file__).parent.parent
RELEASED = "frb_x2_w1a1"

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of an environment that holds the wheel and its plain requirements."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # building leaves traces beside setup.py
    subprocess.run(["git", "clone", "-q", REPOSITORY, source], check=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    options = ["--no-deps", "--no-build-isolation", "-w", folder]
    done = subprocess.run([*pip, "wheel", *options, source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    wheel = next(folder.glob("qsr-*.whl"))
    venv.create(folder / "empty", with_pip=True)
    where = folder / "empty" / "bin"
    done = subprocess.run([where / "pip", "-q", "install", wheel], capture_output=True, text=True, check=False)
    if done.returncode != 0 and "No matching distribution" in done.stderr:
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr
    return where


def run(where: Path, *arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    return subprocess.run([where / "qsr", *arguments], capture_output=True, text=True, cwd=cwd, env=environment, check=False)


def test_a_picture_is_upscaled_without_torch(installed: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    done = run(installed, "upscale", "photo.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert Image.open(tmp_path / "photo_x2.png").size == (60, 40)
    listed = subprocess.run([installed / "pip", "list"], capture_output=True, text=True, check=True).stdout.lower()
    for heavy in ("torch", "opencv", "scikit-image", "numba", "pyyaml", "tensorboard"):
        assert heavy not in listed


@pytest.mark.parametrize(
    "arguments",
    [("info",), ("zoo", "list"), ("zoo", "get", RELEASED, "--packed"), ("info", RELEASED), ("--help",), ("upscale", "--help")],
)
def test_what_needs_no_torch_works(installed: Path, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run(installed, *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_training_says_what_to_install(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("name: a\n")
    done = run(installed, "train", "-opt", "a.yml", cwd=tmp_path)
    assert done.returncode == 6
    assert "pip install 'qsr[train]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1
