"""NaN and Inf stop a run before they reach a weight; the message says where they came from (reliability T7)."""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from train_drill import small_options, tiny_options

from qsr.data.training import Batch
from qsr.errors import NumericalError
from qsr.train import checkpoint, finite, losses, state
from qsr.train.job import Job
from qsr.train.run import train
from tests.drill import Drill

NAN, INF = float("nan"), float("inf")


def poison_weight(network: nn.Module) -> None:
    network.body[1].conv2.weight.data[0, 0, 0, 0] = NAN


def poison_step(network: nn.Module) -> None:
    network.body[0].conv1.act_quant.step.data.fill_(INF)


def poison_gradient(network: nn.Module) -> None:
    network.body[2].conv1.bias.register_hook(lambda gradient: gradient * NAN)


def poison_activation(network: nn.Module) -> None:
    network.body[3].conv2.register_forward_hook(lambda module, inputs, output: output + INF)


@pytest.mark.drill("T7")
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


class Poison:
    """NaN or Inf that appears in one place of a small network after an iteration; `source`: how the report is to name it."""

    def __init__(self, chance: random.Random) -> None:
        self.kind = chance.choice(("loss", "gradient", "weight", "activation", "scale"))
        self.value = chance.choice((NAN, INF, -INF))
        self.after = chance.randint(1, 11)
        # conv1 feeds a quantizer, whose clipping takes an infinite activation for a large one
        self.layer = "conv2" if self.kind == "activation" else chance.choice(("conv1", "conv2"))
        self.armed = False
        self.source = {
            "loss": "loss term l_pix",
            "gradient": rf"gradient of body\.0\.{self.layer}\.weight",
            "weight": rf"parameter body\.0\.{self.layer}\.weight",
            "activation": r"output of body\.0\S* \(\w+\)",
            "scale": rf"parameter body\.0\.{self.layer}\.act_quant\.step \(quantizer step size\)",
        }[self.kind]

    def put(self, network: nn.Module) -> None:
        layer = getattr(network.body[0], self.layer)
        if self.kind == "gradient":
            layer.weight.register_hook(lambda gradient: gradient + self.value)
        elif self.kind == "weight":
            layer.weight.data[1, 2, 0, 1] = self.value
        elif self.kind == "activation":
            layer.register_forward_hook(lambda module, inputs, output: output + self.value)
        elif self.kind == "scale":
            layer.act_quant.step.data.fill_(self.value)
        self.armed = True

    def loss(self, sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
        return (sr - hr).abs() + (self.value if self.armed and self.kind == "loss" else 0)


@pytest.mark.drill("T7")
def test_found_named_and_kept_out_wherever_it_appears(
    pictures: Path, tmp_path: Path, drill: Drill, monkeypatch: pytest.MonkeyPatch
) -> None:
    stepped = Job.stepped
    for number in drill.rounds(push=20, nightly=250):
        poison = Poison(drill.random)

        def poisoned(self: Job, iteration: int, poison: Poison = poison) -> None:
            stepped(self, iteration)
            if iteration == poison.after:
                poison.put(self.trainee.network)

        monkeypatch.setattr(Job, "stepped", poisoned)
        monkeypatch.setattr(losses, "l1", poison.loss)
        with pytest.raises(NumericalError) as caught:
            train(small_options(pictures, tmp_path / str(number)), notify=lambda line: None)
        assert caught.value.exit_code == 4
        where, what = poison.after, f"{poison.kind} {poison.value}"
        # a step that the loss does not see (an infinite weight is clipped to the largest code) is found by the next save
        at_save = f"a weight is NaN or Inf at iteration {-(-where // 4) * 4}; not saved"
        wanted = f"NaN or Inf at iteration {where + 1}: first in {poison.source};|{at_save}"
        assert re.search(wanted, str(caught.value)), f"{what} after {where}: {caught.value}"
        last = checkpoint.newest(tmp_path / str(number) / "tiny/checkpoints", print, state.check)
        good = (where - (poison.kind in ("weight", "scale"))) // 4 * 4
        assert (int(last.name) if last else 0) == good
        for name in ("model", "training") if last else ():
            assert finite.all_finite(list(load_file(last / f"{name}.safetensors").values())), what
        shutil.rmtree(tmp_path / str(number))


@pytest.mark.drill("T7")
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
    fault = finite.report(7, network, terms, batch, tmp_path, 0)
    assert isinstance(fault, NumericalError)
    assert re.search(r"loss terms not finite: l_pix_4; batch: a\.png, b\.png \(saved as .*iter_00000007_rank0", str(fault))


def test_on_a_full_disk_it_is_still_told_what_was_found(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 1))
    batch = Batch(torch.rand(2, 3, 4, 4), torch.rand(2, 3, 8, 8), ("a.png", "b.png"), 0.0)
    (tmp_path / "numerical").write_text("no folder can be made here")
    fault = finite.report(7, network, {"l_pix": torch.tensor(NAN)}, batch, tmp_path, 0)
    assert fault.exit_code == 4
    assert "first in loss term l_pix;" in str(fault)
    assert "(not saved: " in str(fault)


def test_integers_are_always_finite() -> None:
    assert finite.all_finite([torch.arange(3)])
    assert not finite.all_finite([torch.ones(2), torch.tensor([1.0, -INF])])
