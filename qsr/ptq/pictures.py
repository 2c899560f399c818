"""Calibration pictures: patches of a folder's HR pictures and their LR, the same ones for the same seed."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from qsr.data.training import TrainingSet
from qsr.errors import OptionsError
from qsr.options.schema import Dataset


class Calibration:
    """Patches from a folder (or .lmdb) of HR pictures; LR is made by MATLAB-exact bicubic, as for training.

    scale: of the network. side: LR pixels of a patch. seed: decides pictures and positions.
    Raises DataError for a missing folder or a picture that is smaller than a patch.
    """

    def __init__(self, folder: Path, scale: int, side: int = 48, seed: int = 0) -> None:
        lmdb = folder.suffix == ".lmdb"
        section = {"dataroot_gt": str(folder), "gt_size": side * scale, "io_backend": {"type": "lmdb" if lmdb else "disk"}}
        self._set = TrainingSet(Dataset.model_validate(section), scale, seed)
        self.folder = folder

    def pairs(self, first: int, count: int) -> tuple[Tensor, Tensor]:
        """Patches number `first` and following: lq (count, 3, h, w) and gt (count, 3, scale h, scale w) in [0, 1]."""
        lq, gt, _ = self._set.gather(range(first, first + count))
        return lq, gt

    def batches(self, count: int, batch: int) -> list[Tensor]:
        """LR batches of the first `count` patches. Raises OptionsError where that is none."""
        if count < 1:
            raise OptionsError(f"found {count} calibration patches, expected at least 1")
        return list(torch.split(self.pairs(0, count)[0], batch))
