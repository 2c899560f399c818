"""Releasing: the weights stay, the machine's folders go, the results have to be this file's."""

from __future__ import annotations

import json

import pytest
import torch

from qsr.archs.modelfile import load_model, read_info, read_state
from qsr.errors import DataError, FormatError, OptionsError
from qsr.zoo.add import About, add
from qsr.zoo.index import digest, read_index


def test_what_is_known_is_in_the_index(zoo):
    (model,) = read_index(zoo)
    assert (model.name, model.scale, model.w_bits, model.a_bits) == ("tiny_x2_w2a2", 2, 2, 2)
    assert (model.iterations, model.weights, model.protocol) == (1500, "averaged", "sr-y-crop2-uint8")
    assert (model.data, model.licence) == ("BSD400", "non-commercial research and education")
    assert model.scores == {"Set5": {"psnr_y": 34.5, "ssim_y": 0.94}, "Set14": {"psnr_y": 30.9, "ssim_y": 0.88}}
    assert model.gain == pytest.approx((34.5 - 33.67 + 30.9 - 30.33) / 2)
    assert model.sha256 == digest(zoo / model.file)
    assert model.bytes == (zoo / model.file).stat().st_size
    assert model.parameters > model.params_k * 1000 > 0
    assert model.recipe[-1] == "resumed twice"


def test_weights_stay_and_folders_of_the_machine_go(zoo, experiment):
    before, after = read_state(experiment), read_state(zoo / "tiny_x2_w2a2.safetensors")
    assert list(before) == list(after)
    assert all(torch.equal(before[name], after[name]) for name in before)
    info = read_info(zoo / "tiny_x2_w2a2.safetensors")
    assert info.options["datasets"]["train"]["dataroot_gt"] == "BSD400"
    assert info.extra == {"from": "fp"}
    assert str(experiment).encode() not in (zoo / "tiny_x2_w2a2.safetensors").read_bytes()
    network, _ = load_model(zoo / "tiny_x2_w2a2.safetensors")
    assert network(torch.rand(1, 3, 8, 8)).shape == (1, 3, 16, 16)


def test_card_readme_and_index_are_written(zoo):
    name = "tiny_x2_w2a2"
    assert {path.name for path in zoo.iterdir()} == {
        "README.md",
        "index.json",
        f"{name}.md",
        f"{name}.safetensors",
        f"{name}.qsr",
    }
    assert "tiny_x2_w2a2" in (zoo / "README.md").read_text()


def test_results_of_another_file_are_refused(experiment, tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps({"protocol": "p", "rows": [], "model_hash": "0" * 12}))
    with pytest.raises(FormatError, match="measured on a file of hash 000000000000"):
        add(experiment, "a", tmp_path / "zoo", About(path, measure=False))
    path.write_text("{}")
    with pytest.raises(FormatError, match="not what qsr test writes"):
        add(experiment, "a", tmp_path / "zoo", About(path, measure=False))
    with pytest.raises(DataError, match="no results"):
        add(experiment, "a", tmp_path / "zoo", About(tmp_path / "none.json", measure=False))
    assert not (tmp_path / "zoo").exists()


def test_names(zoo, experiment):
    for odd in ("../a", "A", "a b", ""):
        with pytest.raises(OptionsError, match="found the name"):
            add(experiment, odd, zoo)
    with pytest.raises(OptionsError, match="already"):
        add(experiment, "tiny_x2_w2a2", zoo)
    replaced = add(experiment, "tiny_x2_w2a2", zoo, About(measure=False), overwrite=True)
    assert replaced.scores == {}
    assert len(read_index(zoo)) == 1


def test_time_is_measured_and_said(experiment, tmp_path):
    model = add(experiment, "timed", tmp_path / "zoo")
    assert model.ms > 0
    assert model.ms_of.startswith("LR 320x180, ")
