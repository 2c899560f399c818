from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from qsr.data import benchmark
from qsr.data.benchmark import find_root, open_folders, open_set
from qsr.data.image import read_rgb, write_png
from qsr.data.resize import degrade, modcrop
from qsr.errors import DataError


@pytest.fixture(autouse=True)
def nowhere_else(monkeypatch, tmp_path):
    monkeypatch.delenv("QSR_DATA", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("folder", ["BSDS100", "b100", "CBSD100", "benchmark/B100"])
def test_found_under_every_name(folder, make_folder, tmp_path):
    make_folder(f"data/{folder}/HR", a=(12, 16))
    assert find_root("B100", tmp_path / "data") == tmp_path / "data" / folder
    assert open_set("BSD100", 2, tmp_path / "data").name == "B100"


def test_places_are_searched_in_order(make_folder, tmp_path, monkeypatch):
    make_folder("datasets/Set5/HR", a=(12, 16))
    assert open_set("Set5", 2).images == ("a",)
    make_folder("env/Set5/HR", b=(12, 16))
    monkeypatch.setenv("QSR_DATA", str(tmp_path / "env"))
    assert open_set("Set5", 2).images == ("b",)
    make_folder("given/Set5/HR", c=(12, 16))
    assert open_set("Set5", 2, tmp_path / "given").images == ("c",)


def test_a_folder_of_ones_own(make_folder):
    folder = make_folder("holiday", a=(12, 16), b=(9, 9))
    found = open_set(folder, 3)
    assert (found.name, found.images, len(found), found.made_lr) == ("holiday", ("a", "b"), 2, True)


def test_shipped_lr_is_preferred_and_made_lr_is_kept(make_folder, picture, monkeypatch):
    folder = make_folder("set/HR", a=(13, 17)).parent
    write_png(folder / "LR_bicubic" / "X2" / "ax2.png", picture(6, 8, 5))
    shipped = open_set(folder, 2)
    assert not shipped.made_lr
    assert np.array_equal(shipped.pair(0).lr, picture(6, 8, 5))

    made = open_set(folder, 4)
    hr = modcrop(read_rgb(folder / "HR" / "a.png"), 4)
    assert np.array_equal(made.pair(0).hr, hr)
    assert np.array_equal(made.pair(0).lr, degrade(hr, 4))
    monkeypatch.setattr("qsr.data.pairs.degrade", None)  # a second call would fail
    assert np.array_equal(made.pair(0).lr, degrade(hr, 4))


def test_grey_pictures_are_replicated(tmp_path, picture):
    (tmp_path / "set").mkdir()
    grey = picture(8, 8)[:, :, 0]
    Image.fromarray(grey).save(tmp_path / "set" / "g.png")
    assert np.array_equal(open_set(tmp_path / "set", 2).pair(0).hr, np.dstack([grey] * 3))


def test_missing_set_says_where_it_was_looked_for(tmp_path):
    assert find_root("Urban100", tmp_path) is None
    with pytest.raises(DataError, match=r"'Urban100' not found below .*datasets \(known sets: Set5, Set14"):
        open_set("Urban100", 2, tmp_path)


def test_open_folders_follows_the_template_and_the_list(make_folder, tmp_path):
    make_folder("HR", a=(12, 16), b=(12, 16), c=(12, 16))
    make_folder("LR", a_s=(6, 8), b_s=(6, 8), c_s=(6, 8))
    (tmp_path / "list.txt").write_text("c.png (12,16,3)\na.png\n\n")
    found = open_folders("HR", "LR", scale=2, tmpl="{}_s", name="val", meta_info="list.txt")
    assert (found.name, found.images) == ("val", ("c", "a"))
    assert np.array_equal(found.pair(0).lr, read_rgb(tmp_path / "LR" / "c_s.png"))
    with pytest.raises(DataError, match=r"3 of 3 pictures are missing, for instance ax2"):
        open_folders("HR", "LR", scale=2, tmpl="{}x2")


def test_iteration_gives_every_pair_once(make_folder):
    found = open_set(make_folder("set", a=(8, 8), b=(8, 8)), 2)
    assert [pair.name for pair in found] == ["a", "b"]


def test_real_set5_opens_with_matlabs_lr(shared_data):
    found = open_set("Set5", 3, shared_data)
    assert found.images == ("baby", "bird", "butterfly", "head", "woman")
    assert not found.made_lr
    assert all(np.array_equal(pair.lr, degrade(pair.hr, 3)) for pair in found)


def test_data_roots_end_with_the_working_folder():
    assert [str(root) for root in benchmark.data_roots("x")] == ["x", "datasets"]
