from __future__ import annotations

import numpy as np
import pytest

from qsr.data.image import list_pictures, read_rgb, write_png
from qsr.data.pairs import Pairs
from qsr.data.resize import degrade
from qsr.data.store import FolderStore
from qsr.errors import DataError


def _store(folder):
    return FolderStore(list_pictures(folder))


def test_hr_is_cut_and_lr_made_from_what_is_left(make_folder):
    hr = make_folder("HR", a=(13, 18))
    pair = Pairs(_store(hr), None, 4).read(0)
    whole = read_rgb(hr / "a.png")
    assert np.array_equal(pair.hr, whole[:12, :16])
    assert np.array_equal(pair.lr, degrade(whole[:12, :16], 4))


def test_shipped_lr_is_used_as_it_is(make_folder, picture):
    hr, lr = make_folder("HR", a=(13, 18)), make_folder("LR", a=(3, 4))
    write_png(lr / "a.png", picture(3, 4, 77))
    assert np.array_equal(Pairs(_store(hr), _store(lr), 4).read(0).lr, picture(3, 4, 77))


def test_wrong_ratio_names_both_files(make_folder):
    hr, lr = make_folder("HR", a=(12, 16)), make_folder("LR", a=(3, 5))
    pairs = Pairs(_store(hr), _store(lr), 4)
    for look in (lambda: pairs.read(0), lambda: pairs.check_headers(0, 4)):
        with pytest.raises(DataError, match=r"LR/a\.png: LR is 3x5, but its HR .*HR/a\.png of 12x16 asks for 3x4 at x4"):
            look()


def test_headers_tell_bytes_and_small_pictures(make_folder):
    pairs = Pairs(_store(make_folder("HR", a=(13, 18))), None, 2)
    assert pairs.check_headers(0, 12) == pairs.read(0).hr.nbytes + pairs.read(0).lr.nbytes
    with pytest.raises(DataError, match=r"a\.png: 12x18 pixels cannot hold a patch of gt_size 14"):
        pairs.check_headers(0, 14)


def test_smaller_than_the_scale_is_an_error(make_folder):
    with pytest.raises(DataError, match="smaller than the scale 4"):
        Pairs(_store(make_folder("HR", a=(3, 9))), None, 4).read(0)
