"""`qsr export --onnx` of a trained network, and of a packed file."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from qsr.cli.main import app
from qsr.errors import EnvironmentFault, FormatError, OptionsError
from qsr.export import onnx_command
from qsr.export.command import Packing
from qsr.export.onnx_command import export_onnx
from qsr.runtime.packed import container
from tests.runtime.packed.build import conv_net


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    path = tmp_path / "net.qsr"
    container.write(path, *conv_net("w2a2", features=8, blocks=2))
    return path


def test_a_packed_file_becomes_an_onnx_file_that_was_checked(packed: Path):
    made = export_onnx(packed)
    assert made.path == packed.with_suffix(".onnx")
    assert made.bytes == made.path.stat().st_size
    assert made.difference is not None
    assert made.difference < 1e-5
    assert made.grid > 0
    assert "neither small nor fast" in made.text()


def test_a_different_picture_is_refused_and_nothing_is_written(packed: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(onnx_command, "_difference", lambda *_: 0.5)
    with pytest.raises(FormatError, match=r"differs by 5\.0e-01"):
        export_onnx(packed)
    assert not packed.with_suffix(".onnx").exists()


def test_without_onnx_one_line_says_what_to_install(packed: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(onnx_command.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EnvironmentFault, match="onnx is not installed"):
        export_onnx(packed)


def test_a_depth_that_is_not_there_is_named(packed: Path):
    with pytest.raises(OptionsError, match="depth 3"):
        export_onnx(packed, how=Packing(depth=3))


def test_the_verb_wants_exactly_one_of_the_two(packed: Path):
    result = CliRunner().invoke(app, ["export", str(packed)])
    assert isinstance(result.exception, OptionsError)
    assert CliRunner().invoke(app, ["export", str(packed), "--onnx", "-o", str(packed.parent / "x.onnx")]).exit_code == 0
    assert (packed.parent / "x.onnx").is_file()
