from __future__ import annotations

import json
import os
import subprocess
import sys

import lmdb
import numpy as np
import pytest

from qsr.data import lmdb_writer
from qsr.data.check import check_set
from qsr.data.image import decode_rgb, write_png
from qsr.data.lmdb_writer import write_lmdb
from qsr.data.store import LmdbStore
from qsr.errors import DataError
from tests.drill import NIGHTLY


def test_layout_is_basicsr_s(make_folder, tmp_path, picture):
    folder = make_folder("HR", b=(12, 16), a=(9, 7))
    assert write_lmdb(folder, tmp_path / "x.lmdb", level=3) == 2
    assert sorted(p.name for p in (tmp_path / "x.lmdb").iterdir()) == ["data.mdb", "lock.mdb", "meta_info.txt"]
    assert (tmp_path / "x.lmdb" / "meta_info.txt").read_text() == "a.png (9,7,3) 3\nb.png (12,16,3) 3\n"
    # read as BasicSR does: the key is the name without suffix, the value an encoded picture
    with lmdb.open(str(tmp_path / "x.lmdb"), readonly=True, lock=False) as env, env.begin() as transaction:
        assert [key for key, _ in transaction.cursor()] == [b"a", b"b"]
        assert np.array_equal(decode_rgb(transaction.get(b"b"), "b"), picture(12, 16, 0))


@pytest.mark.drill("D5")
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
    original, lmdb_writer.MAX_KEY = lmdb_writer.MAX_KEY, 100
    try:
        with pytest.raises(DataError, match="longer than 100 bytes"):
            write_lmdb(folder, tmp_path / "x.lmdb")
    finally:
        lmdb_writer.MAX_KEY = original
    assert not list(tmp_path.glob("*.lmdb"))


def test_damaged_picture_leaves_no_database(make_folder, tmp_path):
    folder = make_folder("HR", a=(9, 7), b=(9, 7))
    (folder / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(DataError, match=r"b\.png: cannot decode"):
        write_lmdb(folder, tmp_path / "x.lmdb")
    assert [p.name for p in tmp_path.iterdir()] == ["HR"]


@pytest.mark.drill("D5")
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


# Builds in forks of one process. The main thread counts its calls, of Python and of C, and one of them is its last.
BUILDS = """
import json, os, random, shutil, signal, sys
from pathlib import Path
from qsr.data import check, lmdb_writer
source, target, kills, seed = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
lmdb_writer.PER_TRANSACTION = 3

def forked(work):
    # what it gives back, None where it was killed
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writing, json.dumps(work()).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(pid, 0)
    return None if os.WIFSIGNALED(status) else json.loads(said)

def build(last):
    calls = 0
    def count(frame, event, argument):
        nonlocal calls
        calls += 1
        if calls == last:
            os.kill(os.getpid(), signal.SIGKILL)
    sys.setprofile(count)
    lmdb_writer.write_lmdb(source, target)
    sys.setprofile(None)
    return calls

def verdict():
    report = check.check_set(target)
    return [report.pictures, report.problems]

most = forked(lambda: build(0))
shutil.rmtree(target)
points = random.Random(seed)
for number in range(kills):
    last = points.randrange(1, most) if number % 4 else most - number // 4  # now and then among the very last
    # how many calls are made differs a little from run to run: a build that came to its end is made again, and killed earlier
    while forked(lambda: build(last)) is not None:
        shutil.rmtree(target)
        last -= 1 + most // 100
    there = forked(verdict) if target.exists() else None
    print(json.dumps([last, most, there]), flush=True)
    if target.exists():
        shutil.rmtree(target)
forked(lambda: build(0))
"""


@pytest.mark.drill("D5")
def test_killed_at_any_moment_there_is_no_database_or_a_whole_one(drill, make_folder, tmp_path, repository):
    folder = make_folder("HR", **{f"p{k:02d}": (24, 20) for k in range(20)})
    target = tmp_path / "x.lmdb"
    kills = 200 if NIGHTLY else 20
    done = subprocess.run(
        [sys.executable, "-c", BUILDS, str(folder), str(target), str(kills), str(drill.seed)],
        capture_output=True,
        text=True,
        timeout=100 if kills == 20 else 1000,
        env={**os.environ, "PYTHONPATH": str(repository)},
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    drill.count(len(lines))
    assert len(lines) == kills
    for last, most, there in lines:
        assert last > 0
        if there not in (None, [20, []]):
            drill.fail(f"killed at call {last} of {most}, what is there is {there}")
    assert any(there is None for *_, there in lines)
    # the last build was let alone: it is whole, and swept what the killed ones left
    assert len(LmdbStore(target).names) == 20
    assert not list(tmp_path.glob(".x.lmdb.tmp-*"))


@pytest.mark.drill("D5")
def test_readers_never_see_a_part(make_folder, tmp_path, monkeypatch):
    folder = make_folder("HR", **{f"p{k}": (9, 9) for k in range(6)})
    seen = []
    monkeypatch.setattr(lmdb_writer, "PER_TRANSACTION", 1)
    write_lmdb(folder, tmp_path / "x.lmdb", notify=lambda done, total: seen.append((tmp_path / "x.lmdb").exists()))
    assert seen == [False] * 6
    assert len(LmdbStore(tmp_path / "x.lmdb").names) == 6
