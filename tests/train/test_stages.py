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
from qsr.options.schema import Dqa, PixelLoss
from qsr.quant import is_calibrated, quantizers
from qsr.train import losses, stages


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


def test_the_full_precision_stage_has_its_own_rate_and_cosine(pictures: Path, tmp_path: Path) -> None:
    train = {"fp_lr": 5e-3, "scheduler": {"type": "constant"}}
    full, main = stages.plan(tiny_options(pictures, tmp_path, depth=None, train=train))
    assert full.lr == 5e-3
    assert full.schedule(0, 1.0) == 1.0
    assert full.schedule(5, 1.0) < 0.1
    assert main.lr == 1e-3
    assert main.schedule(9, 1.0) == 1.0


class Recorder(nn.Module):
    """Stands for a supernet: remembers at which depth it ran."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(1.0))
        self.depth: int | None = None
        self.ran: list[int | None] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.ran.append(self.depth)
        return x * self.weight / (self.depth or 1)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    monkeypatch.setattr(depth, "set_depth", lambda network, n: setattr(network, "depth", n))
    return Recorder()


def test_the_joint_loss_is_the_weighted_sum_over_depths(recorder: Recorder) -> None:
    x, hr = torch.ones(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    loss = stages.joint_loss(losses.build(PixelLoss()), Dqa(depths=(4, 2, 1), weights=(0.5, 0.3, 0.2)))
    total, terms = loss(recorder, x, hr, 1)
    assert recorder.ran == [4, 2, 1]
    assert recorder.depth is None, "the full depth is back for validation and saving"
    assert {name: float(term) for name, term in terms.items()} == {"l_pix_4": 0.25, "l_pix_2": 0.5, "l_pix_1": 1.0}
    assert total.item() == pytest.approx(0.5 * 0.25 + 0.3 * 0.5 + 0.2 * 1.0)
    total.backward()
    assert recorder.weight.grad is not None


def test_the_sandwich_leaves_out_the_middle_on_odd_iterations(recorder: Recorder) -> None:
    loss = stages.joint_loss(losses.build(PixelLoss()), Dqa(depths=(4, 2, 1), sandwich=True))
    x = torch.ones(1, 3, 2, 2)
    loss(recorder, x, x, 1)
    loss(recorder, x, x, 2)
    assert recorder.ran == [4, 1, 4, 2, 1]


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
