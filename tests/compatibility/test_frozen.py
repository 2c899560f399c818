"""T12: files of earlier versions load and give the numbers that they gave (docs/compatibility.md).

The folders beside this file were written by `freeze.py`, one per version, and are never written again; most of each is one
archive. Numbers of torch depend a little on the processor (its sums have another order under AVX2 than under AVX-512),
hence the tolerances; those of the compiled runtime do not.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qsr.archs.modelfile import load_model
from qsr.data.image import read_rgb
from qsr.evaluate.upscale import Upscaler
from qsr.options import from_json
from qsr.runtime import Model, backend_info, load
from qsr.train.experiment import folder_of
from qsr.train.run import train
from qsr.train.state import read_facts
from qsr.zoo.index import get, read_index
from tests.compatibility.freeze import RUN, STOPPED_AT, float_psnr, measured, unpack

HERE = Path(__file__).resolve().parent
VERSIONS = sorted(path.name for path in HERE.iterdir() if (path / "expected.json").is_file())
FLOAT_DB = 1e-4  # dB between processors, of values that are not rounded to bytes
BYTES_DB = 5e-3  # dB between processors, where a last digit turns a byte now and then
LEVELS = 0.002  # share of a picture's bytes that a last digit may turn


@cache
def expected(version: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((HERE / version / "expected.json").read_text())
    return found


def networks() -> Iterator[Any]:
    for version in VERSIONS:
        for name in expected(version)["networks"]:
            yield pytest.param(version, name, id=f"{version}-{name}")


@pytest.fixture(scope="session")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """frozen(version): a folder with the unpacked files of a version."""
    folders = {version: unpack(version, tmp_path_factory.mktemp("frozen")) for version in VERSIONS}
    return folders.__getitem__


def pictures(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    return read_rgb(folder / "lr.png"), read_rgb(folder / "hr.png")


def vectorised(packed: Model) -> bool:
    """Whether kernels for vector instructions run; their bytes are the same on every machine, the portable ones' nearly."""
    return backend_info().name == "extension" and any(kernel.isa in ("avx2", "avx512") for kernel in packed.kernels())


def assert_alike(found: np.ndarray, wanted: np.ndarray) -> None:
    """Equal but for a few bytes, which differ by one level."""
    assert found.shape == wanted.shape
    apart = np.abs(found.astype(int) - wanted)
    assert (apart > 0).mean() <= LEVELS
    assert np.quantile(apart, 1 - LEVELS / 10) <= 1


def test_every_version_is_there(frozen: Callable[[str], Path]) -> None:
    assert "0.1.0" in VERSIONS
    for version in VERSIONS:
        for kind in ("*.qsr", "*.safetensors"):
            assert {path.stem for path in frozen(version).glob(kind)} == set(expected(version)["networks"])


@pytest.mark.drill("T12")
@pytest.mark.parametrize(("version", "name"), [*networks()])
def test_a_model_file_gives_the_numbers_that_it_gave(version: str, name: str, frozen: Callable[[str], Path]) -> None:
    lr, hr = pictures(frozen(version))
    for key, wanted in expected(version)["networks"][name]["torch"].items():
        network, info = load_model(frozen(version) / f"{name}.safetensors", depth=int(key) if key else None)
        assert info.versions["qsr"] == version
        assert float_psnr(network, lr, hr) == pytest.approx(wanted["float_psnr"], abs=FLOAT_DB)
        found = measured(Upscaler(network)(lr), hr)
        assert found["psnr_y"] == pytest.approx(wanted["psnr_y"], abs=BYTES_DB)
        assert found["ssim_y"] == pytest.approx(wanted["ssim_y"], abs=1e-4)


@pytest.mark.drill("T12")
@pytest.mark.parametrize(("version", "name"), [*networks()])
def test_a_packed_file_gives_the_picture_that_it_gave(version: str, name: str, frozen: Callable[[str], Path]) -> None:
    lr, hr = pictures(frozen(version))
    facts = expected(version)["networks"][name]
    packed = load(frozen(version) / f"{name}.qsr", threads=1)
    assert list(packed.depths) == facts["depths"]
    for key, wanted in facts["packed"].items():
        output = packed.upscale(lr, depth=int(key) if key else None)
        found = measured(output, hr)
        assert found["psnr_y"] == pytest.approx(wanted["psnr_y"], abs=BYTES_DB)
        if vectorised(packed):
            assert found["sha256"] == wanted["sha256"]
        picture = frozen(version) / f"{name}{key and '_' + key}.png"
        if picture.is_file():
            assert_alike(output, read_rgb(picture))


@pytest.mark.drill("T12")
@pytest.mark.parametrize("version", VERSIONS)
def test_a_stopped_run_goes_on_as_it_did(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frozen: Callable[[str], Path]
) -> None:
    shutil.copytree(frozen(version) / RUN, tmp_path / RUN)
    for place in ("train", "val"):
        (tmp_path / "pictures" / place).mkdir(parents=True)
        shutil.copyfile(frozen(version) / "hr.png", tmp_path / "pictures" / place / "hr.png")
    monkeypatch.chdir(tmp_path)
    options = from_json(read_facts(Path(RUN, "checkpoints", f"{STOPPED_AT:08d}"))["options"])
    lines: list[str] = []
    done = train(options, auto_resume=True, notify=lines.append)
    assert done.iteration == 16
    assert not any("damaged" in line for line in lines)
    rows = [json.loads(line) for line in (folder_of(options) / "metrics.jsonl").read_text().splitlines()]
    losses = {str(row["iter"]): row["l_pix"] for row in rows if "l_pix" in row}
    wanted = expected(version)["run"]["losses"]
    assert losses.keys() == wanted.keys() == {"13", "14", "15", "16"}, "it goes on where it was stopped"
    for iteration, loss in wanted.items():
        assert losses[iteration] == pytest.approx(loss, rel=1e-4)
    assert load_model(done.folder)[1].iteration == 16


def released() -> Iterator[Any]:
    for version in VERSIONS:
        for name in expected(version)["zoo"]:
            yield pytest.param(version, name, id=f"{version}-{name}")


@pytest.mark.drill("T12")
@pytest.mark.parametrize(("version", "name"), [*released()])
def test_a_released_model_is_what_it_was(version: str, name: str, frozen: Callable[[str], Path]) -> None:
    wanted = expected(version)["zoo"][name]
    (model,) = [one for one in read_index() if one.name == name]
    assert (model.sha256, model.packed_sha256) == (wanted["sha256"], wanted["packed_sha256"]), (
        "a changed model takes a new name"
    )
    lr, _ = pictures(frozen(version))
    packed = load(get(name, packed=True), threads=1)
    picture = packed.upscale(lr)
    assert float(picture.mean()) == pytest.approx(wanted["packed_mean"], abs=1e-2)
    if vectorised(packed):
        assert sha256(picture.tobytes()).hexdigest() == wanted["packed_picture"]
    mean = float(Upscaler(load_model(get(name))[0])(lr).mean())
    assert math.isclose(mean, wanted["mean"], abs_tol=1e-2)
