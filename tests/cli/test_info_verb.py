from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import qsr
from qsr.cli import info_verb
from qsr.errors import FormatError


def invoke(*arguments: str):
    """Run `qsr info`; errors come through as exceptions."""
    app = typer.Typer()
    app.command()(info_verb.command)
    return CliRunner().invoke(app, arguments, catch_exceptions=False, standalone_mode=False)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment folder with one small quantized network in it."""
    from qsr import archs
    from qsr.archs.modelfile import ModelInfo, save_model
    from qsr.options import from_dict

    options = from_dict(
        {
            "name": "tiny_w4a4",
            "scale": 2,
            "network_g": {"type": "SRResNet", "num_feat": 4, "num_block": 1},
            "quant": {"method": "rlq", "w_bits": 4, "a_bits": 4},
        }
    )
    network = archs.build(options)
    report = archs.quantize(network, options)
    metrics = {"results": [{"dataset": "Set5", "psnr_y": 36.25, "images": [{"name": "baby", "psnr_y": 38.5}]}]}
    info = ModelInfo(options.to_json(), report.to_json(), 1700, "ema", metrics, extra={"stage": "quant"})
    folder = tmp_path_factory.mktemp("experiments") / "tiny_w4a4"
    save_model(folder / "models" / "net_g_latest.safetensors", network, info)
    return folder


def test_without_argument_tells_about_the_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QSR_BACKEND", "numpy")
    text = invoke().stdout
    lines = dict(line.split(maxsplit=1) for line in text.splitlines())
    assert lines["qsr"] == qsr.__version__
    assert lines["kernels"] == "numpy: QSR_BACKEND asks for it"
    assert lines["torch"][0].isdigit()


def test_installation_as_json() -> None:
    facts = json.loads(invoke("--json").stdout)
    assert {"qsr", "python", "isa", "kernels", "packages"} <= set(facts)


def test_model_file_tells_everything(experiment: Path) -> None:
    text = invoke(str(experiment)).stdout
    for part in (
        "net_g_latest.safetensors",
        "tiny_w4a4 (options ",
        "SRResNet, x2",
        "rlq, w4a4",
        "1,700 (averaged weights)",
        "results[0].psnr_y    36.2500",
        f"written with qsr     {qsr.__version__}",
        "stage                quant",
        "body.0.",
        "rlq 4",
    ):
        assert part in text, part
    assert "baby" not in text


def test_model_file_as_json(experiment: Path) -> None:
    file = experiment / "models" / "net_g_latest.safetensors"
    facts = json.loads(invoke(str(file), "--json").stdout)
    assert facts["bytes"] == file.stat().st_size
    assert facts["file"] == str(file)
    assert len(facts["options_hash"]) == 12
    assert facts["iteration"] == 1700
    assert facts["metrics"]["results"][0]["images"][0]["name"] == "baby"
    assert any(row["w_bits"] == 4 for row in facts["layers"]["rows"])


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "some.safetensors"
    file.write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    with pytest.raises(FormatError, match=r"some\.safetensors: a safetensors file, but not one of qsr's"):
        invoke(str(file))
