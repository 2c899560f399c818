"""NaN and Inf stop a run before they reach a weight; the message says where they came from (reliability T7)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from train_drill import tiny_options

from qsr.data.training import Batch
from qsr.errors import NumericalError
from qsr.train import checkpoint, finite
from qsr.train.job import Job
from qsr.train.run import train

NAN, INF = float("nan"), float("inf")


def poison_weight(network: nn.Module) -> None:
    network.body[1].conv2.weight.data[0, 0, 0, 0] = NAN


def poison_step(network: nn.Module) -> None:
    network.body[0].conv1.act_quant.step.data.fill_(INF)


def poison_gradient(network: nn.Module) -> None:
    network.body[2].conv1.bias.register_hook(lambda gradient: gradient * NAN)


def poison_activation(network: nn.Module) -> None:
    network.body[3].conv2.register_forward_hook(lambda module, inputs, output: output + INF)


@pytest.mark.parametrize(
    ("poison", "source"),
    [
        (poison_weight, "first in parameter body.1.conv2.weight;"),
        (poison_step, r"first in parameter body.0.conv1.act_quant.step \(quantizer step size\);"),
        (poison_gradient, "first in gradient of body.2.conv1.bias;"),
        (poison_activation, r"first in output of body.3\S* "),
    ],
)
def test_the_source_is_named_and_the_last_checkpoint_is_finite(
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    poison: Callable[[nn.Module], None],
    source: str,
) -> None:
    stepped = Job.stepped

    def poisoned(self: Job, iteration: int) -> None:
        stepped(self, iteration)
        if iteration == 9:
            poison(self.trainee.network)

    monkeypatch.setattr(Job, "stepped", poisoned)
    with pytest.raises(NumericalError, match=f"at iteration 10: {source}") as caught:
        train(tiny_options(pictures, tmp_path, depth=None), notify=lambda line: None)
    assert caught.value.exit_code == 4
    dump = tmp_path / "tiny/numerical/iter_00000010_rank0.safetensors"
    assert str(dump) in str(caught.value)
    assert "batch: " in str(caught.value)
    assert set(load_file(dump)) == {"lq", "gt"}
    last = checkpoint.newest(tmp_path / "tiny/checkpoints", print)
    assert last is not None
    for name in ("model", "training"):
        tensors = load_file(last / f"{name}.safetensors")
        assert finite.all_finite(list(tensors.values()))


def test_a_weight_that_went_unnoticed_is_never_saved(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stepped = Job.stepped

    def poisoned(self: Job, iteration: int) -> None:
        stepped(self, iteration)
        if iteration == 6:  # the end of a stage saves at once
            self.trainee.network.conv_first.weight.data[0] = NAN

    monkeypatch.setattr(Job, "stepped", poisoned)
    options = tiny_options(pictures, tmp_path, depth=None, val={"val_freq": None}, train={"ema_decay": 0})
    datasets = {"train": options.datasets["train"]}
    with pytest.raises(NumericalError, match="not saved"):
        train(options.model_copy(update={"datasets": datasets}), notify=lambda line: None)
    assert (tmp_path / "tiny/checkpoints/LATEST").read_text() == "00000004"


def test_the_batch_itself_and_a_loss_term() -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 1))
    good = torch.rand(1, 3, 4, 4)
    assert finite.first_bad(network, {"l_pix": torch.tensor(1.0)}, torch.full_like(good, NAN)) == "the input pictures"
    assert finite.first_bad(network, {"a": torch.tensor(1.0), "b": torch.tensor(INF)}, good) == "loss term b"


def test_the_report_lists_terms_and_files(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 1))
    batch = Batch(torch.rand(2, 3, 4, 4), torch.rand(2, 3, 8, 8), ("a.png", "b.png"), 0.0)
    terms = {"l_pix_4": torch.tensor(NAN), "l_pix_2": torch.tensor(1.0)}
    with pytest.raises(NumericalError, match=r"loss terms not finite: l_pix_4; batch: a\.png, b\.png"):
        finite.stop(7, network, terms, batch, tmp_path, 0)


def test_integers_are_always_finite() -> None:
    assert finite.all_finite([torch.arange(3)])
    assert not finite.all_finite([torch.ones(2), torch.tensor([1.0, -INF])])
