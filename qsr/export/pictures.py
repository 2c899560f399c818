"""Pictures that an export looks at: HR ones with their LR for calibration, LR ones to compare with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from qsr.data.formats import SUFFIXES
from qsr.data.image import read_rgb
from qsr.data.photos import training_photos
from qsr.data.resize import degrade
from qsr.errors import DataError
from qsr.evaluate.metrics import psnr

Picture = NDArray[np.uint8]
SIDE = 64  # LR pixels of a calibration patch
MOST = 12  # pictures


@dataclass(frozen=True)
class Calibration:
    """Pairs of one size: LR (SIDE, SIDE, 3) and HR, uint8. LR is made by MATLAB-exact bicubic."""

    lr: tuple[Picture, ...]
    hr: tuple[Picture, ...]

    def batches(self) -> list[Tensor]:
        """The LR patches, (1, 3, h, w) in [0, 1] each."""
        return [as_input(picture) for picture in self.lr]

    def psnr(self, network: nn.Module, scale: int) -> float:
        """Mean PSNR_Y of the network's output, `scale` pixels cut off each side."""
        with torch.inference_mode():
            outputs = [as_bytes(network(x)) for x in self.batches()]
        return float(np.mean([psnr(found, truth, scale) for found, truth in zip(outputs, self.hr, strict=True)]))


def calibration(folder: Path | None, scale: int) -> Calibration:
    """The central patches of the first pictures of a folder of HR pictures; None: photographs that scikit-image ships.

    Pictures that are too small are left out. Raises DataError where none is left, EnvironmentFault without scikit-image.
    """
    files = training_photos() if folder is None else picture_files(folder)
    whole = (read_rgb(path) for path in files[:MOST])
    hr = tuple(centre(picture, SIDE * scale) for picture in whole if min(picture.shape[:2]) >= SIDE * scale)
    if not hr:
        raise DataError(f"no picture of {SIDE * scale} x {SIDE * scale} pixels or more to calibrate with", where=str(folder))
    return Calibration(tuple(degrade(picture, scale) for picture in hr), hr)


def picture_files(place: Path) -> list[Path]:
    """The picture itself, or a folder's, by name. Raises DataError if there is none."""
    if place.is_file():
        return [place]
    found = sorted(path for path in place.glob("*") if path.suffix.lower() in SUFFIXES) if place.is_dir() else []
    if not found:
        raise DataError("no picture found", where=str(place))
    return found


def centre(picture: Picture, side: int) -> Picture:
    """The central side x side, or less where the picture is smaller."""
    top, left = (max(0, (size - side) // 2) for size in picture.shape[:2])
    return picture[top : top + side, left : left + side]


def as_input(picture: Picture) -> Tensor:
    """(1, 3, h, w) float in [0, 1]."""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255


def as_bytes(output: Tensor) -> Picture:
    """(1, 3, h, w) -> (h, w, 3): clipped to [0, 1], times 255, rounded half to even."""
    rounded: NDArray[Any] = (output[0].clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    return rounded
