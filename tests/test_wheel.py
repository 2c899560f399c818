"""What `make dist` builds, in empty environments: the wheel with and without PyTorch, the sdist with and without a compiler."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

REPOSITORY = Path(__file__).parent.parent
RELEASED = "frb_x2_w1a1"
POLICY = "manylinux_2_34_x86_64"
LARGEST = 12 << 20  # bytes of the wheel; the released models are most of it

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, the wheel and its bill of materials, made from a fresh clone of the last commit."""
    for tool in ("build", "auditwheel", "cyclonedx"):
        pytest.importorskip(tool, reason=f"{tool} is not installed (`make nightly` does)")
    folder = tmp_path_factory.mktemp("dist")
    source = folder / "source"
    subprocess.run(["git", "clone", "-q", REPOSITORY, source], check=True)
    script = [sys.executable, source / "supply" / "dist.py", folder / "made"]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "made"


def one(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def environment(folder: Path, what: str, **variables: str) -> Path:
    """The `bin` folder of an empty environment into which pip has put `what`."""
    venv.create(folder, with_pip=True)
    where = folder / "bin"
    command = [where / "pip", "--disable-pip-version-check", "-q", "install", "-c", REPOSITORY / "constraints.txt", what]
    done = subprocess.run(command, capture_output=True, text=True, env={**clean(), **variables}, check=False)
    if done.returncode != 0 and "No matching distribution" in done.stderr:
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr
    return where


def clean() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME") and "QSR" not in key}


def run(where: Path, *arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([where / "qsr", *arguments], capture_output=True, text=True, cwd=cwd, env=clean(), check=False)


def upscales(where: Path, folder: Path) -> bytes:
    """Pixels that the installed `qsr upscale` makes of a picture of noise, twice as large."""
    folder.mkdir(exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "photo.png")
    done = run(where, "upscale", "photo.png", cwd=folder)
    assert done.returncode == 0, done.stderr
    made = Image.open(folder / "photo_x2.png")
    assert made.size == (60, 40)
    return made.tobytes()


def packages(where: Path) -> str:
    return subprocess.run([where / "pip", "list"], capture_output=True, text=True, check=True).stdout.lower()


def kernels(where: Path) -> str:
    code = "from qsr.runtime import backend_info; print(backend_info().name)"
    # away from any clone: python -c looks into the current folder first
    done = subprocess.run([where / "python", "-c", code], capture_output=True, text=True, cwd=where, env=clean(), check=True)
    return done.stdout.strip()


# --- the files ------------------------------------------------------------------------------------------------------------
def test_the_wheel_runs_on_any_linux_of_its_policy(built: Path) -> None:
    assert one(built, "*.whl").name.endswith(f"-{POLICY}.whl")
    done = subprocess.run(
        [sys.executable, "-m", "auditwheel", "show", one(built, "*.whl")], capture_output=True, text=True, check=True
    )
    assert POLICY.split("_x86")[0] in done.stdout


def test_the_wheel_holds_what_it_should_and_no_more(built: Path) -> None:
    with zipfile.ZipFile(one(built, "*.whl")) as archive:
        names = archive.namelist()
    for wanted in ("qsr/py.typed", "qsr/zoo/models/index.json", f"qsr/zoo/models/{RELEASED}.qsr", "qsr/options/files/demo.yml"):
        assert wanted in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"qsr"}
    assert not [name for name in names if ".libs/" in name or name.endswith((".cc", ".h", ".pyc")) or "test" in name.split("/")]
    assert [name for name in names if name.endswith("/LICENSE")]
    assert one(built, "*.whl").stat().st_size < LARGEST


def test_the_sdist_holds_what_a_build_needs(built: Path) -> None:
    with tarfile.open(one(built, "*.tar.gz")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    listed = subprocess.run(
        ["git", "ls-files", "csrc", "options", "experiments/zoo"], cwd=REPOSITORY, capture_output=True, text=True
    )
    wanted = {name for name in listed.stdout.splitlines() if not name.endswith("README.md")}
    assert wanted
    assert wanted <= names


def test_the_bill_of_materials_is_of_this_wheel(built: Path) -> None:
    import hashlib
    import json

    bill = json.loads(one(built, "*.cdx.json").read_text())
    digest = hashlib.sha256(one(built, "*.whl").read_bytes()).hexdigest()
    assert bill["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": digest}]
    assert {"numpy", "torch", "pybind11", "libstdc++"} <= {part["name"] for part in bill["components"]}


# --- without PyTorch ------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def installed(built: Path) -> Path:
    """An environment with the wheel and its plain requirements."""
    return environment(built.parent / "plain", str(one(built, "*.whl")))


def test_a_picture_is_upscaled_without_torch(installed: Path, tmp_path: Path) -> None:
    upscales(installed, tmp_path)
    assert kernels(installed) == "extension"
    listed = packages(installed)
    for heavy in ("torch", "opencv", "scikit-image", "numba", "pyyaml", "tensorboard"):
        assert heavy not in listed


@pytest.mark.parametrize(
    "arguments",
    [
        *(("info",), ("info", RELEASED), ("zoo", "list"), ("zoo", "get", RELEASED, "--packed")),
        *(("doctor",), ("--help",), ("upscale", "--help")),
    ],
)
def test_what_needs_no_torch_works(installed: Path, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run(installed, *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_training_says_what_to_install(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("name: a\n")
    done = run(installed, "train", "-opt", "a.yml", cwd=tmp_path)
    assert done.returncode == 6
    assert "pip install 'qsr[train]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


# --- with PyTorch ---------------------------------------------------------------------------------------------------------
def test_the_demo_trains_measures_and_packs(built: Path, tmp_path: Path) -> None:
    """`qsr[train]` alone is enough for the whole way, with the option files that came with the wheel."""
    where = environment(tmp_path / "train", f"{one(built, '*.whl')}[train]")
    settings = [
        f"--set={key}" for key in ("train.fp_iter=4", "train.total_iter=4", "val.val_freq=4", "logger.save_checkpoint_freq=4")
    ]
    done = run(where, "demo", *settings, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Packed file" in done.stdout
    for listed in ("basicsr", "pytest", "onnx"):
        assert listed not in packages(where)


# --- from the sdist -------------------------------------------------------------------------------------------------------
def test_the_sdist_builds_where_there_is_a_compiler(built: Path, installed: Path, tmp_path: Path) -> None:
    where = environment(tmp_path / "sdist", str(one(built, "*.tar.gz")), QSR_REQUIRE_KERNELS="1")
    assert kernels(where) == "extension"
    assert upscales(where, tmp_path / "a") == upscales(installed, tmp_path / "b")


def test_the_sdist_installs_where_there_is_none(built: Path, installed: Path, tmp_path: Path) -> None:
    """numpy stands in, and its picture is the same but for a few last digits."""
    where = environment(tmp_path / "sdist", str(one(built, "*.tar.gz")), CC="/bin/false", CXX="/bin/false")
    assert kernels(where) == "numpy"
    found, wanted = (np.frombuffer(upscales(which, tmp_path / which.parent.name), np.uint8) for which in (where, installed))
    assert (found != wanted).mean() < 0.001
