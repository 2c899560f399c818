from __future__ import annotations

from pathlib import Path

import pytest
import torch

from qsr.errors import DataError, OptionsError
from qsr.ptq.pictures import Calibration


def test_patches_are_a_function_of_seed_and_number(pictures: Path) -> None:
    one, other = Calibration(pictures, 2, side=8, seed=3), Calibration(pictures, 2, side=8, seed=3)
    lq, gt = one.pairs(0, 6)
    assert lq.shape == (6, 3, 8, 8)
    assert gt.shape == (6, 3, 16, 16)
    assert torch.equal(torch.cat(other.batches(6, 4)), lq)
    assert not torch.equal(Calibration(pictures, 2, side=8, seed=4).pairs(0, 6)[0], lq)


def test_lr_shows_the_same_place_as_hr(pictures: Path) -> None:
    lq, gt = Calibration(pictures, 2, side=16).pairs(0, 4)
    shrunk = torch.nn.functional.avg_pool2d(gt, 2)
    assert float((shrunk - lq).abs().mean()) < 0.01


def test_what_cannot_be_used_is_said(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot hold a patch"):
        Calibration(pictures, 2, side=32)
    with pytest.raises(DataError):
        Calibration(tmp_path / "nothing", 2)
    with pytest.raises(OptionsError, match="found 0 calibration patches"):
        Calibration(pictures, 2, side=8).batches(0, 4)
