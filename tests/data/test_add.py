from __future__ import annotations

import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qsr.data import add
from qsr.data.add import add_photos, add_set
from qsr.data.benchmark import open_set
from qsr.data.cards import find_card
from qsr.data.image import read_rgb
from qsr.data.manifest import read_manifest
from qsr.data.prepare import degrade_folder
from qsr.errors import DataError


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "datasets"


def _pack(folder: Path, name: str = "x.tgz") -> Path:
    target = folder.parent / name
    with tarfile.open(target, "w:gz") as out:
        out.add(folder, folder.name)
    return target


def _nothing_left(root: Path) -> bool:
    return not root.exists() or list(root.iterdir()) == []


def test_archive_becomes_a_checked_set(make_folder, root):
    hr = make_folder("download/Set5/HR", **dict.fromkeys("abcde", (24, 24)))
    degrade_folder(hr, hr.parent / "LRbicx4", 4, tmpl="{}")
    added = add_set("set5", _pack(hr.parent.parent), root)
    assert (added.folder, added.pictures, added.lr_scales) == (root / "Set5", 5, (4,))
    assert sorted(p.name for p in (root / "Set5" / "LR_bicubic" / "X4").glob("*.png")) == [f"{n}x4.png" for n in "abcde"]
    assert len(read_manifest(root / "Set5" / "HR" / "manifest.json")) == 5
    assert added.notes[0].startswith("0 of 20 files equal the release")
    assert sorted(p.name for p in (root / "Set5").iterdir()) == ["HR", "LR_bicubic"]
    opened = open_set("Set5", 4, root)
    assert not opened.made_lr
    assert np.array_equal(opened.pair(0).hr, read_rgb(hr / "a.png"))


def test_source_folder_is_left_alone(make_folder, root):
    source = make_folder("mine", a=(8, 8), b=(8, 8))
    assert add_set("mine", source, root).pictures == 2
    assert sorted(p.name for p in source.iterdir()) == ["a.png", "b.png"]


def test_one_set_is_taken_from_a_collection(make_folder, root):
    make_folder("benchmark/Set14/HR", **{f"p{k}": (8, 8) for k in range(14)})
    make_folder("benchmark/Set5/HR", **{f"q{k}": (8, 8) for k in range(5)})
    source = make_folder("benchmark")
    assert add_set("Set14", source, root).pictures == 14
    assert add_set("Set5", source, root).pictures == 5


@pytest.fixture
def small_cards(monkeypatch) -> None:
    """The real cards, as if every set had a hundredth of its pictures."""
    monkeypatch.setattr(add, "find_card", lambda name: replace(find_card(name), pictures=find_card(name).pictures // 100))


@pytest.mark.usefixtures("small_cards")
def test_b100_and_bsd400_come_out_of_bsds500(make_folder, root):
    base = "BSR/BSDS500/data/images"
    for part, count in (("val", 1), ("train", 2), ("test", 2)):
        folder = make_folder(f"{base}/{part}", **{f"{part}{k}": (4, 4) for k in range(count)})
        for path in folder.iterdir():
            path.rename(path.with_suffix(".jpg"))  # content decides
    source = _pack(make_folder("BSR"))
    assert add_set("BSDS100", source, root).pictures == 1
    assert [p.name for p in (root / "B100" / "HR").glob("*.jpg")] == ["val0.jpg"]
    assert add_set("BSD400", source, root).pictures == 4


@pytest.mark.usefixtures("small_cards")
def test_div2k_folder_names(make_folder, root):
    source = make_folder("DIV2K_train_HR", **{f"{k:04d}": (4, 4) for k in range(1, 9)})
    assert add_set("DIV2K", _pack(source), root).pictures == 8
    assert open_set("DIV2K", 2, root).images[0] == "0001"


def test_wrong_count_is_refused(make_folder, root):
    with pytest.raises(DataError, match=r"HR: 4 HR pictures, but Set5 has 5 \(Set5/HR"):
        add_set("Set5", make_folder("HR", **dict.fromkeys("abcd", (8, 8))), root)
    assert _nothing_left(root)


def test_damaged_pictures_are_all_named_and_nothing_is_left(make_folder, root):
    source = make_folder("HR", **dict.fromkeys("abc", (20, 20)))
    for name in "ac":
        (source / f"{name}.png").write_bytes((source / f"{name}.png").read_bytes()[:-7])
    with pytest.raises(DataError, match=r"(?s)2 problems in 3 pictures.*mine/HR/a\.png.*mine/HR/c\.png"):
        add_set("mine", source, root)
    assert _nothing_left(root)


def test_interrupt_leaves_nothing(make_folder, root):
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        add_set("mine", make_folder("HR", a=(8, 8)), root, notify=stop)
    assert _nothing_left(root)


@pytest.mark.drill("F8")
@pytest.mark.parametrize("name", ["../x", "/x", "a/b", "", ".", "..", ".hidden", "C:x"])
def test_names_cannot_leave_the_data_root(name, make_folder, root):
    with pytest.raises(DataError):
        add_set(name, make_folder("HR", a=(8, 8)), root)
    assert _nothing_left(root)


def test_existing_set_and_missing_source(make_folder, root, tmp_path):
    source = make_folder("HR", a=(8, 8))
    add_set("mine", source, root)
    with pytest.raises(DataError, match="is there already"):
        add_set("mine", source, root)
    with pytest.raises(DataError, match=r"gone\.zip: no such file"):
        add_set("other", tmp_path / "gone.zip", root)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no pictures"):
        add_set("other", tmp_path / "empty", root)


def test_same_member_twice_is_refused(make_folder, root, tmp_path):
    path = make_folder("HR", a=(8, 8)) / "a.png"
    with tarfile.open(tmp_path / "x.tar", "w") as out:
        out.add(path, "HR/a.png")
        out.add(path, "HR/a.png")
    with pytest.raises(DataError, match=r"HR/a\.png comes twice"):
        add_set("mine", tmp_path / "x.tar", root)
    assert _nothing_left(root)


def test_name_too_long_for_the_disk_is_one_line(make_folder, root, tmp_path):
    path = make_folder("HR", a=(8, 8)) / "a.png"
    with tarfile.open(tmp_path / "x.tar", "w") as out:
        out.add(path, "n" * 4096 + ".png")
    with pytest.raises(Exception, match="cannot write: File name too long"):
        add_set("mine", tmp_path / "x.tar", root)
    assert _nothing_left(root)


def test_real_set5_is_recognised_as_its_release(shared_data, root):
    added = add_set("Set5", shared_data / "benchmark" / "Set5", root)
    assert added.lr_scales == (2, 3, 4)
    assert added.notes[0].startswith("20 of 20 files equal the release whose LR files were written by MATLAB")


def test_photos_appear_at_once(root, monkeypatch):
    def broken(folder: Path) -> None:
        (folder / "train").mkdir()
        raise DataError("stop")

    monkeypatch.setattr(add, "write_photos", broken)
    with pytest.raises(DataError, match="stop"):
        add_photos(root)
    assert _nothing_left(root)
    monkeypatch.undo()
    added = add_photos(root)
    assert (added.folder, added.pictures) == (root / "photos", 8)
