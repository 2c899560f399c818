"""Export from an experiment's folder to a file beside its model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from qsr.archs.modelfile import save_model
from qsr.data.image import write_png
from qsr.errors import DataError, FormatError, OptionsError
from qsr.export.command import export_packed
from qsr.export.unpack import read_packed


@pytest.fixture
def experiment(trained, tmp_path: Path) -> Path:
    save_model(tmp_path / "exp" / "models" / "net_g_latest.safetensors", *trained("srresnet", {"w_bits": 2}, (4, 2)))
    return tmp_path / "exp"


def test_default_names(experiment: Path) -> None:
    outcome = export_packed(experiment)
    assert outcome.path == experiment / "models" / "net_g_latest.qsr"
    assert outcome.sizes.file == outcome.path.stat().st_size
    assert outcome.model_bytes == (experiment / "models" / "net_g_latest.safetensors").stat().st_size
    assert outcome.verified is None
    shallow = export_packed(experiment, depth=2)
    assert shallow.path.name == "net_g_latest_depth2.qsr"
    assert shallow.path.stat().st_size < outcome.path.stat().st_size
    assert read_packed(shallow.path).header.blocks is not None


@pytest.mark.parametrize("depth", [None, 2])
def test_verify_with_a_folder(experiment: Path, tmp_path: Path, lr, depth) -> None:
    for name in ("a.png", "b.png"):
        write_png(tmp_path / "lr" / name, lr)
    (tmp_path / "lr" / "notes.txt").write_text("not a picture")
    outcome = export_packed(experiment, tmp_path / "net.qsr", depth, tmp_path / "lr")
    assert outcome.verified is not None
    assert outcome.verified.pictures == 2
    outcome.check()
    with pytest.raises(FormatError, match="not the trained network"):
        replace(outcome, verified=replace(outcome.verified, max_difference=1)).check()


def test_mistakes(experiment: Path, tmp_path: Path) -> None:
    model = experiment / "models" / "net_g_latest.safetensors"
    before = model.read_bytes()
    with pytest.raises(OptionsError, match="replace the model file"):
        export_packed(experiment, model)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no picture to verify with"):
        export_packed(experiment, tmp_path / "net.qsr", None, tmp_path / "empty")
    assert not (tmp_path / "net.qsr").exists()
    assert model.read_bytes() == before
