from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import qsr
from qsr.cli import info_verb
from qsr.errors import FormatError
from qsr.runtime.packed.container import write
from qsr.zoo.index import default_model
from tests.runtime.packed.build import conv_net


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


# --- packed files -------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    header, tensors = conv_net("w2a2", features=8, blocks=1, scale=4)
    header = replace(header, metrics={"set5": {"psnr_y": 31.25}}, provenance={"note": "a\x1b[2J"}, network={"method": "rlq"})
    path = tmp_path_factory.mktemp("packed") / "net.qsr"
    write(path, header, tensors)
    return path


def test_packed_file_as_text(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QSR_BACKEND", "numpy")
    text = invoke(str(packed)).stdout
    assert f"({packed.stat().st_size:,} bytes, qsr.packed/1)" in text
    rows = {line.split()[0]: line.split() for line in text.splitlines() if line}
    assert rows["body.0.conv1"] == ["body.0.conv1", "8x8x3x3", "w2a2", "144", "numpy", "portable"]
    assert rows["scale"] == ["scale", "x4"]
    assert rows["metrics.set5.psnr_y"][1] == "31.2500"
    assert "weight codes" in text
    assert "\x1b" not in text
    assert r"a\x1b[2J" in text


def test_packed_file_as_json(packed: Path) -> None:
    facts = json.loads(invoke(str(packed), "--json").stdout)
    assert facts["bytes"] == facts["sizes"]["file"] == packed.stat().st_size
    assert facts["layers"][0] | {"kernel": "", "isa": ""} == {
        "name": "conv_first",
        "op": "conv",
        "shape": [8, 3, 3, 3],
        "bits": "float",
        "bytes": 864,
        "kernel": "",
        "isa": "",
    }
    assert facts["network"] == {"method": "rlq"}


def test_packed_files_are_known_by_their_content(packed: Path, tmp_path: Path, experiment: Path) -> None:
    other = tmp_path / "renamed.safetensors"
    other.write_bytes(packed.read_bytes())
    assert json.loads(invoke(str(other), "--json").stdout)["format"] == "qsr.packed/1"
    broken = tmp_path / "broken.qsr"
    broken.write_bytes(b"nothing")
    with pytest.raises(FormatError, match="broken.qsr: not a safetensors file"):
        invoke(str(broken))
    assert "options_hash" in json.loads(invoke(str(experiment), "--json").stdout)


def test_packed_files_need_no_torch(packed: Path, repository: Path) -> None:
    code = "import sys\nsys.modules['torch'] = None\nfrom qsr.cli.main import main\n"
    code += f"sys.argv = ['qsr', 'info', {str(packed)!r}]\nmain()\n"
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "body.0.conv1" in done.stdout


def test_a_released_name_is_its_packed_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = default_model(2).name
    assert f"{name}.qsr (" in invoke(name).stdout
    (tmp_path / name).write_bytes(b"nothing")  # a file of that name is what was meant
    with pytest.raises(FormatError):
        invoke(name)
