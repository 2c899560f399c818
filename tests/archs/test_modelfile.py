"""A model file alone is enough to run the network, and damage is one error that names the file."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from qsr import archs
from qsr.archs import depth, modelfile
from qsr.archs.modelfile import ModelInfo
from qsr.errors import FormatError, OptionsError
from qsr.quant import calibrate


@pytest.fixture
def saved(tmp_path: Path, make_options):
    """(path, network, info) of a quantized, calibrated supernet with a frozen order."""
    options = make_options(quant=True, depths=(4, 2))
    network = archs.build(options)
    report = archs.quantize(network, options)
    calibrate(network, [torch.rand(2, 3, 8, 8)])
    with torch.no_grad():
        network.body[0].shortcut.fill_(1.5)
    depth.freeze_order(network)
    info = ModelInfo(options.to_json(), report.to_json(), 700, "ema", {"Set5": {"psnr_y": 36.5}}, extra={"seed": 3})
    path = tmp_path / "models" / "net_g_latest.safetensors"
    modelfile.save_model(path, network, info)
    return path, network.eval(), info


@pytest.mark.parametrize("blocks", [None, 4, 2])
def test_round_trip_is_exact(saved, blocks: int | None) -> None:
    path, network, info = saved
    loaded, read = modelfile.load_model(path, depth=blocks)
    depth.set_depth(network, blocks)
    x = torch.rand(1, 3, 5, 7)
    assert torch.equal(loaded(x), network(x))
    assert read == info
    assert not loaded.training


@pytest.mark.parametrize("block", ["unit", "e2fif"])
def test_one_bit_blocks(tmp_path: Path, make_options, block: str) -> None:
    network = {"type": "MSRResNet", "num_feat": 4, "num_block": 1, "block": block}
    options = make_options(network, quant={"method": "srb", "w_bits": 1, "a_bits": 1, "start": "balanced"})
    built = archs.build(options)
    archs.quantize(built, options)
    archs.balance(built, torch.rand(2, 3, 8, 8))
    calibrate(built, [torch.rand(2, 3, 8, 8)])
    modelfile.save_model(tmp_path / "m.safetensors", built, ModelInfo(options.to_json()))
    loaded, _ = modelfile.load_model(tmp_path / "m.safetensors")
    x = torch.rand(1, 3, 5, 7)
    assert torch.equal(loaded(x), built.eval()(x))


@pytest.mark.parametrize("network", ["swinir", {"type": "MSRResNet", "num_feat": 4, "num_block": 1}])
def test_other_backbones(tmp_path: Path, make_options, network) -> None:
    options = make_options(network, scale=3, quant={"quant_matmul": network == "swinir"})
    built = archs.build(options)
    archs.quantize(built, options)
    calibrate(built, [torch.rand(2, 3, 8, 8)])
    modelfile.save_model(tmp_path / "m.safetensors", built, ModelInfo(options.to_json()))
    loaded, _ = modelfile.load_model(tmp_path / "m.safetensors")
    x = torch.rand(1, 3, 5, 7)
    assert torch.equal(loaded(x), built.eval()(x))


def test_experiment_folder(saved) -> None:
    path, _, info = saved
    assert modelfile.read_info(path.parent.parent) == info
    older = path.with_name("net_g_best.safetensors")
    path.rename(older)
    assert modelfile.find_model(path.parent.parent) == older


def test_newest_without_latest(tmp_path: Path, make_options) -> None:
    options = make_options()
    for age, name in ((100, "b"), (0, "a")):
        modelfile.save_model(
            tmp_path / f"{name}.safetensors", archs.build(options), ModelInfo(options.to_json(), iteration=age)
        )
        os.utime(tmp_path / f"{name}.safetensors", (1_000_000 - age,) * 2)
    assert modelfile.read_info(tmp_path).iteration == 0


def test_checkpoint_folder(tmp_path: Path, make_options) -> None:
    options = make_options()
    modelfile.save_model(tmp_path / "model.safetensors", archs.build(options), ModelInfo(options.to_json()))
    save_file({"moment": torch.zeros(1)}, tmp_path / "training.safetensors")
    os.utime(tmp_path / "model.safetensors", (0, 0))
    assert modelfile.find_model(tmp_path) == tmp_path / "model.safetensors"


def test_versions_are_written(saved) -> None:
    assert modelfile.read_info(saved[0]).versions == modelfile.versions()
    assert set(modelfile.versions()) == {"qsr", "torch", "python"}


def test_untrained_depth(saved) -> None:
    with pytest.raises(OptionsError, match="4, 2"):
        modelfile.load_model(saved[0], depth=3)


def test_truncation_and_garbage(saved, tmp_path: Path) -> None:
    whole = saved[0].read_bytes()
    damaged = tmp_path / "cut.safetensors"
    for length in (0, 4, 60, len(whole) // 2, len(whole) - 1):
        damaged.write_bytes(whole[:length])
        with pytest.raises(FormatError, match=r"cut\.safetensors"):
            modelfile.load_model(damaged)
    damaged.write_bytes(b"\xff" * 1000)
    with pytest.raises(FormatError, match=r"cut\.safetensors"):
        modelfile.read_info(damaged)


def test_missing_file_and_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no such file or experiment"):
        modelfile.load_model(tmp_path / "none")
    with pytest.raises(FormatError, match="no model file"):
        modelfile.load_model(tmp_path)


def write(path: Path, tensors, metadata) -> Path:
    save_file(tensors, path, metadata=metadata)
    return path


def test_foreign_and_damaged_metadata(saved, tmp_path: Path) -> None:
    tensors = modelfile.read_state(saved[0])
    good = saved[2].to_json()
    cases = {
        "not one of qsr's": {"format": "pt"},
        "damaged metadata": {"qsr": "{"},
        "expected an object": {"qsr": "[]"},
        "format 99": {"qsr": json.dumps(good | {"format": 99})},
        "has the entries": {"qsr": json.dumps(good | {"novelty": 1})},
        "network_g": {"qsr": json.dumps(good | {"options": good["options"] | {"network_g": {"type": "Nothing"}}})},
    }
    for message, metadata in cases.items():
        with pytest.raises(FormatError, match=message):
            modelfile.load_model(write(tmp_path / "m.safetensors", tensors, metadata))


@pytest.mark.parametrize(
    "network",
    [
        {"num_feat": 4096},
        {"num_block": 1024, "num_feat": 512},
        {"type": "SwinIR", "embed_dim": 4096},
        {"type": "Mixer", "num_block": 1024},
    ],
)
def test_options_of_a_network_larger_than_its_file_build_nothing(saved, tmp_path: Path, monkeypatch, network) -> None:
    tensors, good = modelfile.read_state(saved[0]), saved[2].to_json()
    options = {**good["options"], "quant": None, "depth": {}, "network_g": network}
    monkeypatch.setattr(modelfile, "build", None)
    path = write(tmp_path / "m.safetensors", tensors, {"qsr": json.dumps(good | {"options": options})})
    with pytest.raises(FormatError, match=r"m\.safetensors: its options describe a network of [\d,]+ weights or more"):
        modelfile.load_model(path)


@pytest.mark.parametrize("text", ["[" * 100_000, " " * 20])
def test_metadata_that_is_deep_or_long(saved, tmp_path: Path, monkeypatch, text: str) -> None:
    monkeypatch.setattr(modelfile, "MAX_METADATA", 10 if text.isspace() else 1 << 20)
    path = write(tmp_path / "m.safetensors", modelfile.read_state(saved[0]), {"qsr": text})
    with pytest.raises(FormatError, match="damaged metadata: nested too deeply|metadata of 20 characters, expected at most 10"):
        modelfile.read_info(path)


def test_weights_and_metadata_must_agree(saved, tmp_path: Path) -> None:
    tensors, metadata = modelfile.read_state(saved[0]), {"qsr": json.dumps(saved[2].to_json())}
    missing = {name: value for name, value in tensors.items() if name != "body.1.conv1.act_quant.step"}
    with pytest.raises(FormatError, match=r"1 missing \(body\.1\.conv1\.act_quant\.step\)"):
        modelfile.load_model(write(tmp_path / "m.safetensors", missing, metadata))
    reshaped = tensors | {"conv_last.bias": torch.zeros(7)}
    with pytest.raises(FormatError, match=r"1 of another shape \(conv_last\.bias\)"):
        modelfile.load_model(write(tmp_path / "m.safetensors", reshaped, metadata))


def test_a_packed_network_is_called_one(tmp_path: Path) -> None:
    from qsr.runtime.packed import container
    from tests.runtime.packed.build import conv_net

    container.write(tmp_path / "net.qsr", *conv_net("w2a2", features=4, blocks=1))
    with pytest.raises(FormatError, match="a packed network, expected a model file") as caught:
        modelfile.read_info(tmp_path / "net.qsr")
    assert "upgrade" not in str(caught.value)
