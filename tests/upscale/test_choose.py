from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from qsr.errors import FormatError, OptionsError
from qsr.upscale.choose import find_model, fingerprint, mark
from qsr.zoo.index import ZooModel


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    """An index of three models, one of which has no packed file."""
    folder = tmp_path / "zoo"
    folder.mkdir()
    common = {"bytes": 1, "sha256": "", "label": "", "backbone": "", "w_bits": 2, "a_bits": 2, "iterations": 1, "weights": "",
              "data": "", "licence": "", "parameters": 1, "params_k": 1, "ops_g": 1,
              "bicubic": {"Set5": {"psnr_y": 30.0}}}  # fmt: skip
    models = [
        ZooModel(name=name, file=f"{name}.safetensors", scale=scale, ms=ms, scores={"Set5": {"psnr_y": 31.0}}, **common)
        for name, scale, ms in [("slow_x2", 2, 9.0), ("fast_x2", 2, 1.0), ("fast_x4", 4, 1.0)]
    ]
    (folder / "index.json").write_text(json.dumps({"format": 1, "models": [model.to_json() for model in models]}))
    (folder / "slow_x2.qsr").write_bytes(b"slow")
    (folder / "fast_x2.qsr").write_bytes(b"fast")
    return folder


def test_the_default_is_the_zoos_of_the_scale(zoo: Path) -> None:
    assert find_model(folder=zoo) == find_model(scale=2, folder=zoo) == zoo / "fast_x2.qsr"
    assert find_model("slow_x2", folder=zoo) == find_model("slow_x2", 2, zoo) == zoo / "slow_x2.qsr"


def test_a_model_that_is_not_packed_yet(zoo: Path, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"fast_x4 has no packed file here \(qsr export .*fast_x4.safetensors --packed -o"):
        find_model(scale=4, folder=zoo)
    (tmp_path / "net.safetensors").touch()
    for path in (tmp_path / "net.safetensors", tmp_path):
        with pytest.raises(FormatError, match=f"not a packed network.*qsr export {path} --packed -o {path.stem}"):
            find_model(str(path))


def test_names_and_scales_that_are_not_there(zoo: Path) -> None:
    with pytest.raises(OptionsError, match="no released model 'gone'"):
        find_model("gone", folder=zoo)
    with pytest.raises(OptionsError, match="no released model of scale 8"):
        find_model(scale=8, folder=zoo)
    with pytest.raises(OptionsError, match="--scale is 4, but slow_x2 is for x2"):
        find_model("slow_x2", 4, zoo)
    for path in ("gone.qsr", "folder/gone"):
        with pytest.raises(OptionsError, match=f"{path}: no such model"):
            find_model(path)


def test_a_file_comes_before_a_name(zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.qsr").touch()
    assert find_model("net.qsr", folder=zoo) == Path("net.qsr")
    os.symlink("net.qsr", "fast_x2")
    with pytest.raises(FormatError, match="not a packed network"):
        find_model("fast_x2", folder=zoo)


def test_the_mark_tells_networks_and_ways_apart(zoo: Path) -> None:
    fast, slow = zoo / "fast_x2.qsr", zoo / "slow_x2.qsr"
    marks = [mark(fast, 2, None, False), mark(slow, 2, None, False), mark(fast, 2, 4, False), mark(fast, 2, None, True)]
    assert len(set(marks)) == 4
    assert marks[0] == f"x2, model {fingerprint(fast)}"
    assert marks[2:] == [f"{marks[0]}, depth 4", f"{marks[0]}, self-ensemble"]
