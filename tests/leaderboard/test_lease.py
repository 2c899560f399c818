"""One holder at a time: among processes, after a crash, over hosts, and after a holder that slept too long."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
import time
from pathlib import Path

import pytest

from qsr.leaderboard import lease
from qsr.leaderboard.lease import Lease


def elsewhere(folder: Path, age: float, pid: int = 1, generation: int = 1) -> Path:
    """A lease that a process of another host has renewed `age` seconds ago."""
    folder.mkdir(exist_ok=True)
    file = folder / f"row.{generation}"
    file.write_text(json.dumps({"host": "elsewhere/boot/", "pid": pid}))
    os.utime(file, (time.time() - age, time.time() - age))
    return file


def test_one_of_two_gets_it_and_the_other_after_it_was_given_back(tmp_path: Path) -> None:
    first, second = Lease(tmp_path, "row"), Lease(tmp_path, "row")
    assert first.acquire()
    assert not second.acquire()
    with first:
        holder = second.holder()
        assert holder is not None
        assert holder.pid == os.getpid()
        assert str(holder).startswith(f"process {os.getpid()} on ")
    assert second.holder() is None
    assert second.acquire()
    assert not first.held()


def test_rows_with_similar_names_are_apart(tmp_path: Path) -> None:
    assert Lease(tmp_path, "row").acquire()
    assert Lease(tmp_path, "row.5").acquire()
    assert Lease(tmp_path, "ro").acquire()
    assert Lease(tmp_path, "row").holder() is not None


def test_another_hosts_lease_holds_until_it_is_stale(tmp_path: Path) -> None:
    elsewhere(tmp_path, age=5)
    mine = Lease(tmp_path, "row", stale=10)
    assert not mine.acquire()
    elsewhere(tmp_path, age=11)
    assert mine.acquire()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["row.1", "row.2"]


def test_a_dead_process_of_this_host_holds_nothing(tmp_path: Path) -> None:
    child = multiprocessing.get_context("fork").Process(target=lambda: Lease(tmp_path, "row").acquire())
    child.start()
    child.join()
    assert (tmp_path / "row.1").is_file()
    assert Lease(tmp_path, "row").acquire()


def test_a_lease_without_a_name_yet_is_respected(tmp_path: Path) -> None:
    (tmp_path / "row.1").touch()
    assert not Lease(tmp_path, "row").acquire()


def test_of_many_at_once_exactly_one_takes_a_stale_lease_over(tmp_path: Path) -> None:
    elsewhere(tmp_path, age=100)
    barrier = threading.Barrier(8)
    won: list[bool] = []

    def take() -> None:
        mine = Lease(tmp_path, "row", stale=10)
        barrier.wait()
        won.append(mine.acquire())

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False] * 7 + [True]


def test_a_held_lease_is_renewed(tmp_path: Path) -> None:
    mine = Lease(tmp_path, "row", stale=0.6)
    assert mine.acquire()
    with mine:
        time.sleep(1.2)
        holder = Lease(tmp_path, "row", stale=0.6).holder()
        assert holder is not None
        assert holder.age < 0.6


def test_a_holder_that_was_overtaken_is_told(tmp_path: Path) -> None:
    lost = threading.Event()
    mine = Lease(tmp_path, "row", stale=0.3, on_lost=lost.set)
    assert mine.acquire()
    with mine:
        elsewhere(tmp_path, age=0, generation=2)
        assert lost.wait(5)
        assert not mine.held()
    # giving back what one no longer has must not free the new holder's
    assert Lease(tmp_path, "row", stale=10).holder() is not None


def test_waiting_ends(tmp_path: Path) -> None:
    elsewhere(tmp_path, age=9.8)
    assert Lease(tmp_path, "row", stale=10).wait(5, poll=0.05)
    assert not Lease(tmp_path, "row", stale=10).wait(0.1, poll=0.05)


def test_clocks_of_hosts_need_not_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = Lease(tmp_path, "row", stale=10)
    assert mine.acquire()
    monkeypatch.setattr(lease.time, "time", lambda: 4e9)
    assert Lease(tmp_path, "row", stale=10).holder() is not None


def test_the_same_pid_elsewhere_is_somebody_else() -> None:
    assert lease.this_host().count("/") >= 2
