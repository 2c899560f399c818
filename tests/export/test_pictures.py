from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from qsr.data.image import write_png
from qsr.data.resize import degrade
from qsr.errors import DataError
from qsr.export.pictures import MOST, SIDE, Calibration, as_bytes, as_input, calibration, centre, picture_files


class Repeat(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, shape, np.uint8)


def test_photographs_of_scikit_image_by_default() -> None:
    found = calibration(None, 2)
    assert len(found.lr) == len(found.hr) >= 5
    assert all(picture.shape == (SIDE, SIDE, 3) for picture in found.lr)
    np.testing.assert_array_equal(degrade(found.hr[0], 2), found.lr[0])


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    for number in range(MOST + 2):
        write_png(tmp_path / f"{number:02}.png", random(2 * SIDE + number, 2 * SIDE, 3))
    write_png(tmp_path / "00_small.png", random(2 * SIDE - 1, 2 * SIDE, 3))
    assert len(calibration(tmp_path, 2).lr) == MOST - 1
    with pytest.raises(DataError, match="no picture of 192 x 192 pixels or more"):
        calibration(tmp_path, 3)


def test_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no picture found"):
        picture_files(tmp_path)
    write_png(tmp_path / "b.png", random(2, 2, 3))
    write_png(tmp_path / "a.PNG", random(2, 2, 3))
    (tmp_path / "notes.txt").write_text("no picture")
    assert [path.name for path in picture_files(tmp_path)] == ["a.PNG", "b.png"]
    assert picture_files(tmp_path / "b.png") == [tmp_path / "b.png"]


def test_bytes_round_half_to_even_and_clip() -> None:
    values = torch.tensor([-1.0, 0.5 / 255, 1.5 / 255, 2.5 / 255, 2.0, 1.0]).view(1, 1, 1, 6).expand(1, 3, 1, 6)
    assert as_bytes(values)[0, :, 0].tolist() == [0, 0, 2, 2, 255, 255]
    picture = random(3, 4, 3)
    np.testing.assert_array_equal(as_bytes(as_input(picture)), picture)


def test_centre() -> None:
    picture = np.arange(35).reshape(5, 7, 1)
    assert centre(picture, 3)[..., 0].tolist() == [[9, 10, 11], [16, 17, 18], [23, 24, 25]]
    assert centre(picture, 6).shape == (5, 6, 1)


def test_psnr_of_a_network() -> None:
    hr = np.repeat(np.repeat(random(8, 8, 3), 2, 0), 2, 1)
    lr = hr[::2, ::2]
    off = hr.copy()
    off[8, 8] ^= 128
    assert Calibration((lr,), (hr,)).psnr(Repeat(), 2) > 100
    assert 15 < Calibration((lr,), (off,)).psnr(Repeat(), 2) < 60
