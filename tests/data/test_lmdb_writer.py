from __future__ import annotations

import os
import random
import subprocess
import sys
import time

import lmdb
import numpy as np
import pytest

from qsr.data import lmdb_writer
from qsr.data.check import check_set
from qsr.data.image import decode_rgb, write_png
from qsr.data.lmdb_writer import write_lmdb
from qsr.data.store import LmdbStore
from qsr.errors import DataError


def test_layout_is_basicsr_s(make_folder, tmp_path, picture):
    folder = make_folder("HR", b=(12, 16), a=(9, 7))
    assert write_lmdb(folder, tmp_path / "x.lmdb", level=3) == 2
    assert sorted(p.name for p in (tmp_path / "x.lmdb").iterdir()) == ["data.mdb", "lock.mdb", "meta_info.txt"]
    assert (tmp_path / "x.lmdb" / "meta_info.txt").read_text() == "a.png (9,7,3) 3\nb.png (12,16,3) 3\n"
    # read as BasicSR does: the key is the name without suffix, the value an encoded picture
    with lmdb.open(str(tmp_path / "x.lmdb"), readonly=True, lock=False) as env, env.begin() as transaction:
        assert [key for key, _ in transaction.cursor()] == [b"a", b"b"]
        assert np.array_equal(decode_rgb(transaction.get(b"b"), "b"), picture(12, 16, 0))


def test_full_map_grows(make_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(lmdb_writer, "FIRST_MAP_SIZE", 64 << 10)
    folder = make_folder("HR", **{f"p{k:03d}": (64, 64) for k in range(70)})  # 70 x 9 kB, two transactions
    assert write_lmdb(folder, tmp_path / "x.lmdb") == 70
    assert check_set(tmp_path / "x.lmdb").problems == []
    assert (tmp_path / "x.lmdb" / "data.mdb").stat().st_size > 64 << 10


def test_what_cannot_be_stored_is_refused_before_writing(make_folder, tmp_path, encode, picture):
    folder = make_folder("HR", a=(9, 7))
    with pytest.raises(DataError, match=r"ends in \.lmdb .*call it x\.lmdb"):
        write_lmdb(folder, tmp_path / "x")
    (folder / "a.jpg").write_bytes(encode(picture(9, 7), "JPEG"))
    with pytest.raises(DataError, match="share the name 'a'"):
        write_lmdb(folder, tmp_path / "x.lmdb")
    (folder / "a.jpg").unlink()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no pictures"):
        write_lmdb(tmp_path / "empty", tmp_path / "x.lmdb")
    monkey = "n" * 200 + ".png"
    write_png(folder / monkey, picture(4, 4))
    original, lmdb_writer.LONGEST_KEY = lmdb_writer.LONGEST_KEY, 100
    try:
        with pytest.raises(DataError, match="longer than 100 bytes"):
            write_lmdb(folder, tmp_path / "x.lmdb")
    finally:
        lmdb_writer.LONGEST_KEY = original
    assert not list(tmp_path.glob("*.lmdb"))


def test_damaged_picture_leaves_no_database(make_folder, tmp_path):
    folder = make_folder("HR", a=(9, 7), b=(9, 7))
    (folder / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(DataError, match=r"b\.png: cannot decode"):
        write_lmdb(folder, tmp_path / "x.lmdb")
    assert [p.name for p in tmp_path.iterdir()] == ["HR"]


def test_a_wrong_count_leaves_no_database(make_folder, tmp_path, monkeypatch):
    honest = lmdb_writer._put
    monkeypatch.setattr(lmdb_writer, "_put", lambda env, module, items: honest(env, module, items[:-1]))
    with pytest.raises(DataError, match="1 entries were stored, expected 2"):
        write_lmdb(make_folder("HR", a=(9, 7), b=(9, 7)), tmp_path / "x.lmdb")
    assert [p.name for p in tmp_path.iterdir()] == ["HR"]


def test_existing_database_is_left_alone(make_folder, tmp_path):
    folder = make_folder("HR", a=(9, 7))
    write_lmdb(folder, tmp_path / "x.lmdb")
    before = (tmp_path / "x.lmdb" / "data.mdb").read_bytes()
    with pytest.raises(DataError, match="is there already"):
        write_lmdb(folder, tmp_path / "x.lmdb")
    assert (tmp_path / "x.lmdb" / "data.mdb").read_bytes() == before


BUILD = """
import sys
from pathlib import Path
from qsr.data import lmdb_writer
lmdb_writer.PER_TRANSACTION = 2
print("go", flush=True)
lmdb_writer.write_lmdb(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def test_killed_at_any_moment_there_is_no_database_or_a_whole_one(make_folder, tmp_path, repository):
    folder = make_folder("HR", **{f"p{k:02d}": (40, 40) for k in range(40)})
    target = tmp_path / "x.lmdb"
    rng = random.Random(5)
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    outcomes = set()
    for delay in [rng.uniform(0, 0.06) for _ in range(5)] + [20.0]:
        child = subprocess.Popen(
            [sys.executable, "-c", BUILD, str(folder), str(target)], stdout=subprocess.PIPE, env=environment, text=True
        )
        assert child.stdout.readline() == "go\n"
        time.sleep(delay) if delay < 1 else child.wait(60)
        child.kill()
        child.wait()
        child.stdout.close()
        outcomes.add(target.exists())
        if target.exists():
            assert len(LmdbStore(target).names) == 40
            assert check_set(target).problems == []
            break
    assert outcomes == {False, True}
    assert not list(tmp_path.glob(".x.lmdb.tmp-*"))  # the last build swept what the killed ones left


def test_readers_never_see_a_part(make_folder, tmp_path, monkeypatch):
    folder = make_folder("HR", **{f"p{k}": (9, 9) for k in range(6)})
    seen = []
    monkeypatch.setattr(lmdb_writer, "PER_TRANSACTION", 1)
    write_lmdb(folder, tmp_path / "x.lmdb", notify=lambda done, total: seen.append((tmp_path / "x.lmdb").exists()))
    assert seen == [False] * 6
    assert len(LmdbStore(tmp_path / "x.lmdb").names) == 6
