"""`train`: finished runs, other precisions and layouts, threads that change nothing (reliability T8), refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from train_drill import assert_same, outcome, tiny_options

from qsr.data.training import Batch, Loader
from qsr.errors import ExperimentBusy, OptionsError
from qsr.train.lock import ExperimentLock
from qsr.train.run import train


def quiet(line: str) -> None:
    """Nobody listens."""


def test_a_finished_run_is_returned_as_it_is(pictures: Path, tmp_path: Path) -> None:
    options = tiny_options(pictures, tmp_path)
    first = train(options, notify=quiet)
    before = outcome(first.folder)
    again = train(options, auto_resume=True, notify=quiet)
    assert again == first
    assert_same(outcome(first.folder), before)


def test_more_iterations_continue_a_finished_run(pictures: Path, tmp_path: Path) -> None:
    train(tiny_options(pictures, tmp_path, depth=None), notify=quiet)
    longer = train(tiny_options(pictures, tmp_path, depth=None, train={"total_iter": 12}), auto_resume=True, notify=quiet)
    assert longer.iteration == 18


def with_threads(pictures: Path, root: Path, threads: int) -> dict[str, Any]:
    data = {"train": {"dataroot_gt": str(pictures / "train"), "gt_size": 8, "num_worker_per_gpu": threads}}
    train(tiny_options(pictures, root, depth=None, quant=None, datasets=data), notify=quiet)
    return outcome(root / "tiny")


@pytest.fixture(scope="module")
def without_threads(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return with_threads(pictures, tmp_path_factory.mktemp("plain"), 0)


@pytest.mark.drill("T8")
@pytest.mark.parametrize(("threads", "ahead"), [(1, 1), (1, 8), (4, 1), (4, 8)])
def test_loader_threads_and_prefetch_do_not_change_a_bit(
    without_threads: dict[str, Any], pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int, ahead: int
) -> None:
    batch = Loader.batch

    def prefetching(self: Loader, step: int) -> Batch:
        self._ahead = ahead
        return batch(self, step)

    monkeypatch.setattr(Loader, "batch", prefetching)
    assert_same(with_threads(pictures, tmp_path, threads), without_threads)


@pytest.mark.parametrize(
    "sections",
    [
        {"amp": "bf16"},
        {"deterministic": True},
        {"channels_last": False},
        {"train": {"pixel_opt": {"type": "CharbonnierLoss"}, "optim_g": {"type": "AdamW", "lr": 1e-3, "weight_decay": 0.01}}},
    ],
    ids=["bf16", "deterministic", "contiguous", "charbonnier-adamw"],
)
def test_trains_with(pictures: Path, tmp_path: Path, sections: dict[str, Any]) -> None:
    try:
        result = train(tiny_options(pictures, tmp_path, **sections), notify=quiet)
    finally:
        torch.use_deterministic_algorithms(False)
    assert result.iteration == 16
    tensors = outcome(result.folder)["tensors"]
    assert {kind for name, (kind, _) in tensors.items() if name.endswith(("step", "shift"))} == {"<f4"}


@pytest.mark.nightly
def test_trains_compiled(pictures: Path, tmp_path: Path) -> None:
    """One block: compiling the tiny network takes longer than training all others."""
    options = tiny_options(pictures, tmp_path, compile=True, depth=None, network_g={"num_block": 1}, train={"fp_iter": 0})
    assert train(options, notify=quiet).iteration == 10


@pytest.mark.drill("T6")
def test_a_second_process_is_refused(pictures: Path, tmp_path: Path) -> None:
    with ExperimentLock(tmp_path / "tiny"), pytest.raises(ExperimentBusy):
        train(tiny_options(pictures, tmp_path), notify=quiet)


def test_a_file_without_training_is_refused(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="nothing to train"):
        train(tiny_options(pictures, tmp_path).model_copy(update={"train": None}), notify=quiet)
