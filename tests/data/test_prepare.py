from __future__ import annotations

import threading

import numpy as np
import pytest

from qsr.data.image import read_rgb
from qsr.data.prepare import cut_subimages, degrade_folder, in_threads
from qsr.data.resize import degrade, imresize, modcrop
from qsr.errors import DataError


def test_degrade_folder_writes_matlabs_lr(make_folder, tmp_path):
    hr = make_folder("HR", a=(13, 18), b=(20, 20))
    seen = []
    assert degrade_folder(hr, tmp_path / "X2", 2, notify=lambda done, total: seen.append((done, total))) == 2
    assert sorted(p.name for p in (tmp_path / "X2").iterdir()) == ["ax2.png", "bx2.png"]
    assert np.array_equal(read_rgb(tmp_path / "X2" / "ax2.png"), degrade(read_rgb(hr / "a.png"), 2))
    assert seen == [(1, 2), (2, 2)]
    degrade_folder(hr, tmp_path / "float", 2, tmpl="{}", mode="float")
    assert np.array_equal(read_rgb(tmp_path / "float" / "a.png"), imresize(modcrop(read_rgb(hr / "a.png"), 2), 0.5, "float"))


@pytest.mark.parametrize("tmpl", ["../{}", "/tmp/{}", "a/../../{}"])
def test_template_cannot_leave_the_folder(tmpl, make_folder, tmp_path):
    hr = make_folder("HR", a=(12, 12))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError, match="outside"):
        degrade_folder(hr, tmp_path / "out", 2, tmpl=tmpl)
    assert sorted(tmp_path.rglob("*")) == before


def test_degrade_names_what_is_too_small(make_folder, tmp_path):
    with pytest.raises(DataError, match=r"a\.png: smaller than the scale 4"):
        degrade_folder(make_folder("HR", a=(3, 12)), tmp_path / "X4", 4)


@pytest.mark.parametrize("size", [(30, 40), (31, 47), (20, 20), (8, 50), (5, 6)])
def test_subimages_cover_every_pixel(size, make_folder, tmp_path, picture):
    count = cut_subimages(make_folder("HR", a=size), tmp_path / "sub", crop=20, step=10)
    pieces = [read_rgb(p) for p in sorted((tmp_path / "sub").iterdir())]
    assert len(pieces) == count
    assert all(piece.shape[:2] == (min(20, size[0]), min(20, size[1])) for piece in pieces)
    whole = picture(*size, 0)
    shape = pieces[0].shape
    covered = np.zeros(size, bool)
    for piece in pieces:
        windows = np.lib.stride_tricks.sliding_window_view(whole, shape)[:, :, 0]
        (top, left), *_ = np.argwhere((windows == piece).all(axis=(2, 3, 4)))
        covered[top : top + shape[0], left : left + shape[1]] = True
    assert covered.all()


def test_basicsr_s_count_for_div2k(make_folder, tmp_path):
    # a 2040x1356 picture in crops of 480 every 240, last row and column moved back: 8 x 5 pieces; here a tenth of it
    assert cut_subimages(make_folder("HR", a=(136, 204)), tmp_path / "sub", crop=48, step=24) == 8 * 5


def test_thin_rest_can_be_left_out(make_folder, tmp_path):
    hr = make_folder("HR", a=(20, 23))
    assert cut_subimages(hr, tmp_path / "all", crop=20, step=10) == 2
    assert cut_subimages(hr, tmp_path / "most", crop=20, step=10, smallest=3) == 1


def test_step_larger_than_crop_would_lose_pixels(make_folder, tmp_path):
    with pytest.raises(DataError, match="step 30 must be between 1 and the crop 20"):
        cut_subimages(make_folder("HR", a=(40, 40)), tmp_path / "sub", crop=20, step=30)


def test_first_error_cancels_the_rest():
    started, gate = [], threading.Event()

    def work(item: int) -> int:
        started.append(item)
        if item == 0:
            raise DataError("bad")
        gate.wait(0.02)
        return item

    with pytest.raises(DataError, match="bad"):
        in_threads(work, range(500), threads=2)
    assert len(started) < 100


def test_interrupt_cancels_the_rest():
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    started = []
    with pytest.raises(KeyboardInterrupt):
        in_threads(lambda item: (threading.Event().wait(0.01), started.append(item)), range(500), stop, threads=2)
    assert len(started) < 100


def test_results_keep_the_order():
    assert in_threads(lambda item: item * item, range(50), threads=4) == [i * i for i in range(50)]
