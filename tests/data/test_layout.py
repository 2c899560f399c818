from __future__ import annotations

from pathlib import Path

import pytest

from qsr.data.layout import best_pattern, fill, find_hr, find_lr, lr_folder, match_folder
from qsr.errors import DataError


def _touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.mark.parametrize("folder", ["HR", "GTmod12", "GT", "original", "DIV2K_train_HR", "."])
def test_hr_folders_found_in_the_wild(folder, tmp_path):
    _touch(tmp_path / folder / "a.png")
    assert find_hr(tmp_path) == tmp_path / folder


def test_empty_hr_folder_does_not_hide_flat_pictures(tmp_path):
    (tmp_path / "HR").mkdir()
    _touch(tmp_path / "a.png")
    assert find_hr(tmp_path) == tmp_path


@pytest.mark.parametrize(
    "path",
    [
        "LR_bicubic/X2/{}x2.png",
        "LR_bicubic/X2/{}.png",
        "LRbicx2/{}.png",
        "LRbicx2/{}x2.png",
        "DIV2K_train_LR_bicubic/X2/{}x2.png",
        "LR/x2/{}_LRBI_x2.png",
    ],
)
def test_lr_layouts_found_in_the_wild(path, tmp_path):
    wanted = [tmp_path / path.replace("{}", name) for name in ("a", "b")]
    _touch(*wanted)
    assert find_lr(tmp_path, 2, ["a", "b"]) == wanted
    assert find_lr(tmp_path, 4, ["a", "b"]) is None
    assert lr_folder(tmp_path, 2) == wanted[0].parent


def test_order_follows_the_hr_names_and_suffixes_may_differ(tmp_path):
    _touch(tmp_path / "b.png", tmp_path / "a.jpg")
    assert [p.name for p in match_folder(tmp_path, ["b", "a"], ["{}"])] == ["b.png", "a.jpg"]


def test_a_half_set_is_an_error_that_lists_what_is_missing(tmp_path):
    _touch(*(tmp_path / "LR_bicubic/X2" / f"{n}x2.png" for n in "abc"))
    with pytest.raises(DataError, match=r"4 of 7 pictures are missing, for instance dx2, ex2, fx2, \.\.\."):
        find_lr(tmp_path, 2, list("abcdefg"))


def test_no_pictures_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no pictures in HR/, GTmod12/"):
        find_hr(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        find_hr(tmp_path / "gone")


def test_patterns_are_no_format_strings():
    assert fill("{}x4", "a") == fill("{name}x4", "a") == "ax4"
    assert fill("{0.__class__}", "a") == "{0.__class__}"
    assert best_pattern({"ax2", "b"}, ["a", "c"], ["{}", "{}x2"]) == "{}x2"
