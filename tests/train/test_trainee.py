"""The network with what belongs to it: layout, compiled form, average in evaluation and back."""

from __future__ import annotations

from pathlib import Path

import torch
from train_drill import tiny_options

from qsr.options.schema import SwinIR
from qsr.train import stages
from qsr.train.trainee import Trainee, make


def trainee(pictures: Path, root: Path, **sections: object) -> Trainee:
    stage = stages.plan(tiny_options(pictures, root, depth=None, quant=None, **sections))[-1]
    torch.manual_seed(0)
    return make(*stage.build(), stage, torch.device("cpu"))


def test_convolutional_networks_take_channels_last_if_asked(pictures: Path, tmp_path: Path) -> None:
    one = trainee(pictures, tmp_path)
    assert one.memory_format == torch.channels_last
    assert one.network.conv_first.weight.is_contiguous(memory_format=torch.channels_last)
    assert trainee(pictures, tmp_path, channels_last=False).memory_format == torch.contiguous_format


def test_transformers_do_not(pictures: Path, tmp_path: Path) -> None:
    options = tiny_options(pictures, tmp_path, depth=None, quant=None)
    swin = SwinIR(depths=(1,), num_heads=(2,), embed_dim=8, window_size=4)
    stage = stages.plan(options.model_copy(update={"network_g": swin}))[-1]
    assert make(*stage.build(), stage, torch.device("cpu")).memory_format == torch.contiguous_format


def test_averaged_evaluates_the_average_and_gives_training_back(pictures: Path, tmp_path: Path) -> None:
    one = trainee(pictures, tmp_path)
    average = one.network.conv_last.bias.detach().clone()
    with torch.no_grad():
        one.network.conv_last.bias += 1
    own = one.network.conv_last.bias.detach().clone()
    with one.averaged() as network:
        assert not network.training
        assert torch.equal(network.conv_last.bias, average)
    assert one.network.training
    assert torch.equal(one.network.conv_last.bias, own)
    assert torch.equal(one.shipped_state()["conv_last.bias"], average)


def test_without_an_average_the_weights_themselves_are_shipped(pictures: Path, tmp_path: Path) -> None:
    one = trainee(pictures, tmp_path, train={"ema_decay": 0})
    assert one.ema is None
    with one.averaged() as network:
        assert network is one.network
    assert torch.equal(one.shipped_state()["conv_last.bias"], one.network.conv_last.bias)
