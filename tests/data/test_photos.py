from __future__ import annotations

import numpy as np
import pytest
from skimage import data

from qsr.data import photos
from qsr.data.image import read_rgb
from qsr.data.photos import HELD_OUT, TRAINING, write_photos
from qsr.errors import EnvironmentFault


def test_photographs_are_written_once_and_scenes_kept_apart(tmp_path):
    train, val = write_photos(tmp_path)
    assert sorted(p.stem for p in val.iterdir()) == ["chelsea", "coffee"]
    assert len(list(train.iterdir())) == len(TRAINING) >= 6
    assert not {name[:6] for name in TRAINING} & {name[:6] for name in HELD_OUT}
    assert np.array_equal(read_rgb(val / "coffee.png"), data.coffee())
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.png")}
    write_photos(tmp_path)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.png")} == before


def test_a_release_without_them_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(photos, "TRAINING", ("gone.png",))
    with pytest.raises(EnvironmentFault, match=r"does not ship gone\.png"):
        write_photos(tmp_path)
    monkeypatch.setattr(photos, "find_spec", lambda name: None)
    with pytest.raises(EnvironmentFault, match="scikit-image is not installed"):
        write_photos(tmp_path)
