"""Export from an experiment's folder to a file beside its model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from qsr.archs.modelfile import save_model
from qsr.data.image import write_png
from qsr.errors import DataError, FormatError, OptionsError
from qsr.export.command import Packing, export_packed
from qsr.quant import quantizers
from qsr.quant.cadyq import CADyQ
from qsr.runtime import load
from qsr.runtime.packed.container import read


@pytest.fixture
def experiment(trained, tmp_path: Path) -> Path:
    save_model(tmp_path / "exp" / "models" / "net_g_latest.safetensors", *trained("srresnet", {"w_bits": 2}, (4, 2)))
    return tmp_path / "exp"


@pytest.fixture
def folder(tmp_path: Path, lr) -> Path:
    for name in ("a.png", "b.png"):
        write_png(tmp_path / "lr" / name, lr)
    (tmp_path / "lr" / "notes.txt").write_text("not a picture")
    return tmp_path / "lr"


def test_default_names(experiment: Path) -> None:
    outcome = export_packed(experiment)
    assert outcome.path == experiment / "models" / "net_g_latest.qsr"
    assert outcome.sizes.file == outcome.path.stat().st_size
    assert outcome.model_bytes == (experiment / "models" / "net_g_latest.safetensors").stat().st_size
    assert outcome.layers == 9
    assert outcome.verified is None
    assert load(outcome.path).depths == (4, 2)
    shallow = export_packed(experiment, how=Packing(depth=2))
    assert shallow.path.name == "net_g_latest_depth2.qsr"
    assert shallow.path.stat().st_size < outcome.path.stat().st_size
    assert load(shallow.path).depths == (2,)


@pytest.mark.drill("K8")
@pytest.mark.parametrize("depth", [None, 2])
def test_verify_with_a_folder(experiment: Path, tmp_path: Path, folder: Path, depth) -> None:
    outcome = export_packed(experiment, tmp_path / "net.qsr", Packing(depth, verify=folder))
    assert outcome.verified is not None
    assert outcome.verified.pictures == 2
    outcome.check()
    failed = replace(outcome.verified.single, max_difference=2)
    with pytest.raises(FormatError, match="not the trained network"):
        replace(outcome, verified=replace(outcome.verified, single=failed)).check()


@pytest.mark.parametrize("tail", ["fp16", "int8", "w4a8", "w4a4"])
def test_tails(experiment: Path, tmp_path: Path, folder: Path, tail) -> None:
    plain = export_packed(experiment, tmp_path / "plain.qsr")
    outcome = export_packed(experiment, tmp_path / "net.qsr", Packing(tail=tail, verify=folder))
    outcome.check()
    assert outcome.sizes.file < plain.sizes.file
    header, _ = read(outcome.path)
    assert header.network["tail"] == tail
    expected = {"fp16": "3 layers stored as float16", "int8": "tail at w8a8"}.get(tail, f"tail at {tail}")
    assert [cost.what.split(" (")[0] for cost in outcome.costs] == [expected]
    assert "dB" in outcome.text()
    assert not plain.costs
    assert json.loads(json.dumps(outcome.to_json()))["verify"]["passed"]


def test_choices_by_picture_are_fixed(trained, tmp_path: Path, folder: Path) -> None:
    network, info = trained("srresnet", {"method": "cadyq", "w_bits": 4, "a_bits": 4})
    for _, quantizer in quantizers(network):
        if isinstance(quantizer, CADyQ):
            quantizer.fixed = None
    save_model(tmp_path / "net.safetensors", network, info)
    outcome = export_packed(tmp_path / "net.safetensors", how=Packing(verify=folder))
    outcome.check()
    assert "activation bits fixed" in outcome.text()
    assert outcome.path == tmp_path / "net.qsr"


def test_mistakes(experiment: Path, tmp_path: Path) -> None:
    model = experiment / "models" / "net_g_latest.safetensors"
    before = model.read_bytes()
    with pytest.raises(OptionsError, match="replace the model file"):
        export_packed(experiment, model)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no picture found"):
        export_packed(experiment, tmp_path / "net.qsr", Packing(verify=tmp_path / "empty"))
    with pytest.raises(DataError, match="no picture found"):
        export_packed(experiment, tmp_path / "net.qsr", Packing(tail="int8", calibration=tmp_path / "empty"))
    with pytest.raises(OptionsError, match="depth 3"):
        export_packed(experiment, tmp_path / "net.qsr", Packing(depth=3))
    assert not (tmp_path / "net.qsr").exists()
    assert model.read_bytes() == before
