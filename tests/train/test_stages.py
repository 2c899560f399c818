"""Which stages an option file gives, with which rates and losses, and how a stage gets its first weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from train_drill import tiny_options

from qsr import archs
from qsr.archs import depth
from qsr.archs.modelfile import ModelInfo, save_model
from qsr.quant import calibrate, is_calibrated, quantizers
from qsr.train import stages


def summary(pictures: Path, root: Path, **sections: object) -> list[tuple[str, int, int, bool]]:
    return [(s.name, s.first, s.last, s.continues) for s in stages.plan(tiny_options(pictures, root, **sections))]


def test_all_stages_of_a_depth_dynamic_run(pictures: Path, tmp_path: Path) -> None:
    assert summary(pictures, tmp_path) == [
        ("full-precision", 0, 6, False),
        ("warm-up at full depth", 6, 9, False),
        ("joint depths", 9, 16, True),
    ]
    options = tiny_options(pictures, tmp_path)
    assert stages.total_iterations(options) == 16
    full, warm, joint = stages.plan(options)
    assert full.options.quant is None
    assert full.options.network_g.num_block == 2  # the second depth: the like-for-like network
    assert warm.options == joint.options == options
    assert (warm.origin, joint.origin) == (6, 6), "one schedule for both phases"


def test_simpler_runs(pictures: Path, tmp_path: Path) -> None:
    assert summary(pictures, tmp_path, depth=None) == [("full-precision", 0, 6, False), ("quantized", 6, 16, False)]
    assert summary(pictures, tmp_path, depth=None, quant=None) == [("train", 0, 10, False)]
    no_warmup = {"dqa": {"depths": [4, 2], "warmup": 0.0}}
    assert summary(pictures, tmp_path, depth=no_warmup)[1:] == [("joint depths", 6, 16, False)]


def test_activations_first_is_a_stage_with_real_weights(pictures: Path, tmp_path: Path) -> None:
    sections = {"train": {"activations_first": 0.3}, "quant": {"rules": [{"match": "body.0.*", "w_bits": 8}]}}
    assert summary(pictures, tmp_path, depth=None, **sections)[1:] == [
        ("activations only", 6, 9, False),
        ("quantized", 9, 16, False),
    ]
    assert summary(pictures, tmp_path, **sections)[1:] == [
        ("activations only", 6, 9, False),
        ("warm-up at full depth", 9, 11, False),
        ("joint depths", 11, 16, True),
    ]
    _, opening, main = stages.plan(tiny_options(pictures, tmp_path, depth=None, **sections))
    assert opening.options.quant.w_bits == 32
    assert opening.options.quant.rules[0].w_bits == 32
    assert main.options.quant.w_bits == 2
    assert opening.origin == main.origin == 6, "one schedule for both"
    network, _ = opening.build()
    assert {quantizer.role for _, quantizer in quantizers(network)} == {"act"}


def test_activations_keep_what_they_learned_when_weights_follow(pictures: Path, tmp_path: Path) -> None:
    _, opening, main = stages.plan(tiny_options(pictures, tmp_path, depth=None, train={"activations_first": 0.3}))
    cpu, batches = torch.device("cpu"), [torch.rand(2, 3, 4, 4)] * 2
    before, _ = opening.begin(None, iter(batches), cpu)
    with torch.no_grad():
        before.body[0].conv1.act_quant.step.fill_(0.123)
        before.body[0].conv1.weight.mul_(3)
    network, _ = main.begin(before, iter(batches), cpu)
    layer = network.body[0].conv1
    assert layer.act_quant.step.item() == pytest.approx(0.123)
    assert is_calibrated(network)
    scale = 2 * before.body[0].conv1.weight.detach().abs().mean().item()  # 2 bits: Qp is 1
    assert layer.weight_quant.step.item() == pytest.approx(scale, rel=1e-5), "from the weights as they are now"


def test_balancing_comes_before_calibration_and_once(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ratios = []

    def halve(network: nn.Module, batch: torch.Tensor, ratio: float) -> None:
        ratios.append(ratio)
        calibrate(network, [batch])
        with torch.no_grad():
            network.body[0].conv1.weight.mul_(0.5)

    monkeypatch.setattr(archs, "balance", halve)
    options = tiny_options(
        pictures, tmp_path, depth=None, train={"activations_first": 0.3}, quant={"start": "balanced", "branch_ratio": 0.2}
    )
    _, opening, main = stages.plan(options)
    assert (opening.balance, main.balance) == (0.2, None), "trained branches are left alone"
    both = stages.plan(options.model_copy(update={"train": options.train.model_copy(update={"activations_first": 0.0})}))[1]
    network, _ = both.begin(None, iter([torch.rand(2, 3, 4, 4)] * 2), torch.device("cpu"))
    assert ratios == [0.2]
    layer = network.body[0].conv1
    scale = 2 * layer.weight.detach().abs().mean().item()
    assert layer.weight_quant.step.item() == pytest.approx(scale, rel=1e-5), "the step fits the weights as scaled"


def test_the_full_precision_stage_has_its_own_rate_and_cosine(pictures: Path, tmp_path: Path) -> None:
    train = {"fp_lr": 5e-3, "scheduler": {"type": "constant"}}
    full, main = stages.plan(tiny_options(pictures, tmp_path, depth=None, train=train))
    assert full.lr == 5e-3
    assert full.schedule(0, 1.0) == 1.0
    assert full.schedule(5, 1.0) < 0.1
    assert main.lr == 1e-3
    assert main.schedule(9, 1.0) == 1.0


def test_first_weights_come_from_the_stage_before_and_are_calibrated(pictures: Path, tmp_path: Path) -> None:
    full, warm, _ = stages.plan(tiny_options(pictures, tmp_path, quant={"calibration_batches": 0}))
    cpu = torch.device("cpu")
    base, report = full.begin(None, iter(()), cpu)
    assert not report.quantized
    network, report = warm.begin(base, iter([torch.rand(2, 3, 4, 4)] * 2), cpu)
    assert report.quantized
    assert is_calibrated(network), "one batch at least, whatever calibration_batches says"
    assert depth.depths(network) == (4, 2, 1)
    assert torch.equal(network.body[1].conv1.weight, base.body[1].conv1.weight)
    torch.testing.assert_close(network.body[3].conv2.weight, 0.1 * base.body[1].conv2.weight)


def test_first_weights_come_from_a_file(pictures: Path, tmp_path: Path) -> None:
    options = tiny_options(pictures, tmp_path, depth=None)
    donor = archs.build_base(options)
    save_model(tmp_path / "fp.safetensors", donor, ModelInfo(archs.base_options(options).to_json()))
    start = {"experiments_root": str(tmp_path), "pretrain_network_g": str(tmp_path / "fp.safetensors")}
    (stage,) = stages.plan(tiny_options(pictures, tmp_path, depth=None, path=start, train={"fp_iter": 0}))
    network, _ = stage.begin(None, iter([torch.rand(1, 3, 4, 4)] * 2), torch.device("cpu"))
    assert torch.equal(network.conv_first.weight, donor.conv_first.weight)


def test_build_leaves_calibration_to_the_checkpoint(pictures: Path, tmp_path: Path) -> None:
    network, _ = stages.plan(tiny_options(pictures, tmp_path))[-1].build()
    assert not any(bool(quantizer.initialised) for _, quantizer in quantizers(network))
