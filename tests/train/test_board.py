"""TensorBoard gets step sizes, shifts and the codes that occur; codes are what the quantizers really emit."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import qsr
from qsr.spec import QuantRule, QuantSpec
from qsr.train.board import Board, codes_of


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 3))
    qsr.quantize_(network, [QuantRule("2", QuantSpec("rlq", 2), QuantSpec("rlq", 2))])
    network(torch.rand(2, 3, 8, 8))
    return network.eval()


def test_codes_are_integers_in_range(network: nn.Module) -> None:
    codes = codes_of(network, torch.rand(1, 3, 8, 8))
    assert set(codes) == {"2.weight_quant", "2.act_quant"}
    assert set(codes["2.act_quant"].unique().tolist()) <= {0, 1, 2, 3}
    assert set(codes["2.weight_quant"].unique().tolist()) <= {-2, -1, 0, 1}
    assert not any(module._forward_hooks for module in network.modules())


def test_everything_lands_in_the_event_file(network: nn.Module, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    board = Board(tmp_path, 0)
    board.scalars(5, {"l_pix": 0.25})
    board.quantizers(5, network, torch.rand(1, 3, 8, 8))
    board.picture(5, "Set5/baby", np.zeros((4, 6, 3), np.uint8))
    board.close()
    events = accumulator.EventAccumulator(str(tmp_path)).Reload()
    assert events.Scalars("train/l_pix")[0].value == 0.25
    assert "step/2.act_quant" in events.Tags()["scalars"]
    assert {"codes/2.weight_quant", "codes/2.act_quant", "shift/2.act_quant"} <= set(events.Tags()["histograms"])
    assert events.Tags()["images"] == ["val/Set5/baby"]


def test_a_disk_that_refuses_switches_it_off_and_is_told_once(network: nn.Module, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    (tmp_path / "file").write_text("where the folder should be")
    told: list[str] = []
    board = Board(tmp_path / "file", 0, told.append)
    for _ in range(2):
        board.scalars(5, {"l_pix": 0.25})
        board.quantizers(5, network, torch.rand(1, 3, 8, 8))
        board.picture(5, "Set5/baby", np.zeros((4, 6, 3), np.uint8))
    board.close()
    assert len(told) == 1
    assert "file: cannot write (" in told[0]
    assert "training goes on" in told[0]


@pytest.mark.parametrize("method", ["scalars", "quantizers", "picture", "close"])
def test_a_disk_that_refuses_later_does_so_too(network: nn.Module, tmp_path: Path, method: str) -> None:
    pytest.importorskip("tensorboard")
    told: list[str] = []
    board = Board(tmp_path, 0, told.append)
    writer = board._writer

    class Full:
        def __getattr__(self, name: str) -> object:
            def refuse(*_: object, **__: object) -> None:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

            return refuse

    board._writer = Full()
    arguments: dict[str, tuple[object, ...]] = {
        "scalars": (1, {"a": 1.0}), "quantizers": (1, network, torch.rand(1, 3, 8, 8)),
        "picture": (1, "a", np.zeros((4, 6, 3), np.uint8)), "close": (),
    }  # fmt: skip
    getattr(board, method)(*arguments[method])
    assert told == [f"{tmp_path}: cannot write (No space left on device); no more for TensorBoard, training goes on"]
    writer.close()


def test_methods_without_a_step_have_codes_to_show(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 3))
    qsr.quantize_(
        network, [QuantRule("0", QuantSpec("bnn", 1), None), QuantRule("2", QuantSpec("pams", 4), QuantSpec("pams", 4))]
    )
    network(torch.rand(2, 3, 8, 8))
    board = Board(tmp_path, 0)
    board.quantizers(1, network.eval(), torch.rand(1, 3, 8, 8))
    board.close()
    tags = accumulator.EventAccumulator(str(tmp_path)).Reload().Tags()
    assert tags["scalars"] == ["step/2.act_quant"]
    assert set(tags["histograms"]) == {"codes/0.weight_quant", "codes/2.weight_quant", "codes/2.act_quant"}
