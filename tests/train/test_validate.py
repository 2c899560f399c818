"""Validation: the sets of the option file, the protocol's numbers, crops, and giving up when asked to stop."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from train_drill import tiny_options

from qsr import archs
from qsr.data.image import read_rgb
from qsr.errors import DataError
from qsr.evaluate.benchmark import SetResult
from qsr.train.distributed import Team
from qsr.train.validate import Interrupted, Validator, mean_psnr


@pytest.fixture
def network(pictures: Path, tmp_path: Path) -> nn.Module:
    torch.manual_seed(0)
    return archs.build_base(tiny_options(pictures, tmp_path)).eval()


def test_every_val_section_is_a_set(pictures: Path, tmp_path: Path, network: nn.Module) -> None:
    second = {"dataroot_gt": str(pictures / "train")}
    validator = Validator(tiny_options(pictures, tmp_path, datasets={"val_2": second}, val={"save_img": True}))
    results = validator.scores(network, Team(), tmp_path / "out", lambda: False)
    assert [(row.dataset, len(row.images)) for row in results] == [("held-out", 3), ("val_2", 4)]
    assert validator.protocol.name == "sr-y-crop2-uint8"
    assert mean_psnr(results) == pytest.approx((results[0].psnr_y + results[1].psnr_y) / 2)
    assert len(list((tmp_path / "out").rglob("*.png"))) == 7


def test_a_stop_request_ends_it_between_two_pictures(pictures: Path, tmp_path: Path, network: nn.Module) -> None:
    validator = Validator(tiny_options(pictures, tmp_path))
    answers = iter([False, True])
    with pytest.raises(Interrupted):
        validator.scores(network, Team(), tmp_path, lambda: next(answers))
    assert next(answers, "asked twice") == "asked twice"


def test_crops_are_written(pictures: Path, tmp_path: Path, network: nn.Module) -> None:
    strips = Validator(tiny_options(pictures, tmp_path)).crops(network, Team(), tmp_path / "visualization", 7)
    assert [name for name, _ in strips] == ["held-out/0"]
    (written,) = (tmp_path / "visualization").iterdir()
    assert written.name == "held-out_0_00000007.png"
    assert (read_rgb(written) == strips[0][1]).all()


def test_pictures_that_cannot_be_written_are_told_and_cost_no_number(
    pictures: Path, tmp_path: Path, network: nn.Module
) -> None:
    (tmp_path / "out").write_text("a file where the folder should be")
    told: list[str] = []
    validator = Validator(tiny_options(pictures, tmp_path, val={"save_img": True}), told.append)
    results = validator.scores(network, Team(), tmp_path / "out", lambda: False)
    assert results == Validator(tiny_options(pictures, tmp_path)).scores(network, Team(), tmp_path, lambda: False)
    assert [name for name, _ in validator.crops(network, Team(), tmp_path / "out", 7)] == ["held-out/0"]
    assert len(told) == 2
    assert all("cannot write" in line for line in told)


def test_a_missing_set_is_told_before_training(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        Validator(tiny_options(pictures, tmp_path, datasets={"val": {"dataroot_gt": str(tmp_path / "nowhere")}}))


def test_the_mean_is_over_sets() -> None:
    assert mean_psnr([SetResult("a", 2, 30.0, 0.9), SetResult("b", 2, 20.0, 0.8)]) == 25.0
