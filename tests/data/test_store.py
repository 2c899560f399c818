from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from qsr.data.image import list_pictures, read_rgb
from qsr.data.lmdb_writer import write_lmdb
from qsr.data.store import FolderStore, LmdbStore, read_meta_info
from qsr.errors import DataError


@pytest.fixture
def stores(make_folder, tmp_path):
    folder = make_folder("HR", a=(12, 16), b=(20, 8), c=(9, 9))
    write_lmdb(folder, tmp_path / "hr.lmdb")
    return FolderStore(list_pictures(folder)), LmdbStore(tmp_path / "hr.lmdb")


def test_folder_and_lmdb_hold_the_same(stores):
    folder, lmdb = stores
    assert folder.names == lmdb.names == ("a", "b", "c")
    assert [lmdb.size(i) for i in range(3)] == [folder.size(i) for i in range(3)] == [(12, 16), (20, 8), (9, 9)]
    assert all(np.array_equal(folder.read(i), lmdb.read(i)) for i in range(3))


def test_lmdb_is_read_from_many_threads(stores):
    folder, lmdb = stores
    with ThreadPoolExecutor(8) as pool:
        pictures = list(pool.map(lambda n: lmdb.read(n % 3), range(200)))
    assert all(np.array_equal(picture, folder.read(n % 3)) for n, picture in enumerate(pictures))


def test_wanted_keys_keep_their_order(stores):
    assert LmdbStore(stores[1].root, ["c", "a"]).names == ("c", "a")
    with pytest.raises(DataError, match=r"1 wanted keys are missing, for instance 'd'"):
        LmdbStore(stores[1].root, ["a", "d"])


def test_two_files_of_one_name_are_refused(make_folder):
    folder = make_folder("HR", a=(8, 8))
    (folder / "a.jpg").write_bytes((folder / "a.png").read_bytes())
    with pytest.raises(DataError, match=r"a\.png and a\.jpg share the name 'a'"):
        FolderStore(list_pictures(folder))


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("a.png", "1"),
        ("a.png (1,2)", "1"),
        ("a.png (x,2,3) 1", "1"),
        ("b.png (1,2,3) 1\na.png (1,2,3) 1\na.png (1,2,3) 1", "3"),
    ],
)
def test_bad_meta_info_names_file_and_line(line, what, tmp_path):
    (tmp_path / "meta_info.txt").write_text(line)
    with pytest.raises(DataError, match=rf"meta_info\.txt:{what}: "):
        read_meta_info(tmp_path)


def test_meta_info_of_basicsr_is_read(tmp_path):
    (tmp_path / "meta_info.txt").write_text("0001_s001.png (480,481,3) 1\nwith blank.png (7,8,3) 1\n")
    assert read_meta_info(tmp_path) == {"0001_s001": (480, 481), "with blank": (7, 8)}


def test_no_database_is_one_line(tmp_path):
    with pytest.raises(DataError, match=r"cannot read meta_info\.txt"):
        LmdbStore(tmp_path / "gone.lmdb")
    (tmp_path / "meta_info.txt").write_text("a.png (1,2,3) 1\n")
    with pytest.raises(DataError, match="not a readable LMDB"):
        LmdbStore(tmp_path)
    (tmp_path / "data.mdb").write_bytes(bytes(8192))
    with pytest.raises(DataError, match="not a readable LMDB"):
        LmdbStore(tmp_path)


def test_lmdb_whose_meta_info_lies_is_refused(stores):
    root = stores[1].root
    meta = (root / "meta_info.txt").read_text()
    (root / "meta_info.txt").write_text(meta.replace("(12,16,3)", "(12,17,3)") + "d.png (4,4,3) 1\n")
    store = LmdbStore(root)
    with pytest.raises(DataError, match=r"hr\.lmdb:a: decoded to 12x16"):
        store.read(0)
    with pytest.raises(DataError, match=r"hr\.lmdb:d: the key is in meta_info\.txt but not"):
        store.read(3)


def test_damaged_file_is_named(make_folder):
    folder = make_folder("HR", a=(30, 30))
    data = (folder / "a.png").read_bytes()
    (folder / "a.png").write_bytes(data[:-20])
    with pytest.raises(DataError, match=r"HR/a\.png: cannot decode: cut short"):
        FolderStore(list_pictures(folder)).read(0)
    (folder / "a.png").write_bytes(data)
    assert np.array_equal(FolderStore(list_pictures(folder)).read(0), read_rgb(folder / "a.png"))
