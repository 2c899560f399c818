from __future__ import annotations

import pytest

from qsr.data.lmdb_writer import write_lmdb
from qsr.data.sources import keep_listed, open_store
from qsr.data.store import FolderStore, LmdbStore
from qsr.errors import DataError


def test_a_folder_or_an_lmdb_by_its_name(make_folder, tmp_path):
    folder = make_folder("HR", a=(8, 8), b=(8, 8))
    write_lmdb(folder, tmp_path / "HR.lmdb")
    assert isinstance(open_store(folder, None), FolderStore)
    assert isinstance(open_store(tmp_path / "HR.lmdb", None), LmdbStore)
    (tmp_path / "HR.lmdb").rename(tmp_path / "renamed")
    assert isinstance(open_store(tmp_path / "renamed", None), LmdbStore)


@pytest.mark.parametrize("kind", ["folder", "lmdb"])
def test_lists_and_templates_mean_the_same_for_both(kind, make_folder, tmp_path):
    place = make_folder("LR", ax2=(8, 8), bx2=(8, 8), cx2=(8, 8))
    if kind == "lmdb":
        write_lmdb(place, tmp_path / "LR.lmdb")
        place = tmp_path / "LR.lmdb"
    assert open_store(place, ["cx2", "ax2"]).names == ("cx2", "ax2")
    assert open_store(place, None, ["b", "a"], "{}x2").names == ("bx2", "ax2")
    with pytest.raises(DataError, match=r"missing, for instance '?dx2"):
        open_store(place, None, ["d"], "{}x2")


def test_meta_info_file_of_basicsr(tmp_path):
    path = tmp_path / "meta.txt"
    path.write_text("0001_s001.png (480,480,3)\n0002_s001.png (480,480,3)\n")
    assert keep_listed(path) == ["0001_s001", "0002_s001"]
    assert keep_listed(None) is None
    path.write_text("\n")
    with pytest.raises(DataError, match="names no picture"):
        keep_listed(path)
    with pytest.raises(DataError, match=r"gone\.txt: cannot read"):
        keep_listed(tmp_path / "gone.txt")
