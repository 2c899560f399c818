"""Processors and memory as a container, an odd variable and a full machine show them."""

from __future__ import annotations

import os
from multiprocessing import shared_memory
from pathlib import Path
from types import SimpleNamespace

import pytest

from qsr.doctor import machine
from qsr.doctor.machine import available_memory, check_memory, check_threads, cpu_quota, openmp_runtimes


@pytest.fixture
def four(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four processors, no quota, no variable, no OpenMP."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(machine, "cpu_quota", lambda: None)
    monkeypatch.setattr(machine, "openmp_runtimes", lambda: ["libgomp"])
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def test_as_many_threads_as_processors(four: None):
    assert (check_threads().status, check_threads().found) == ("ok", "4 processors")


@pytest.mark.parametrize(
    ("value", "status"), [("4", "ok"), ("2,1", "ok"), ("5", "warn"), ("many", "warn"), ("0", "warn"), ("-1", "warn")]
)
def test_the_variable(four: None, monkeypatch, value: str, status: str):
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert check_threads().status == status


def test_a_quota_below_the_processors(four: None, monkeypatch):
    monkeypatch.setattr(machine, "cpu_quota", lambda: 1.5)
    found = check_threads()
    assert (found.status, found.todo) == ("warn", "export OMP_NUM_THREADS=2")
    assert "a quota leaves 1.5" in found.found
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert check_threads().status == "ok"


def test_two_openmp_runtimes(four: None, monkeypatch, tmp_path: Path):
    maps = tmp_path / "maps"
    maps.write_text(
        "7f 0 /env/torch/lib/libgomp-a34b.so.1\n7f 0 /env/lib/libiomp5.so\n7f 0 /env/lib/libgomp.so.1\n7f 0 [heap]\n"
    )
    assert openmp_runtimes(maps) == ["libgomp", "libiomp5"]
    monkeypatch.setattr(machine, "openmp_runtimes", lambda: openmp_runtimes(maps))
    assert check_threads().status == "warn"
    assert openmp_runtimes(tmp_path / "none") == []


def test_quotas_of_both_generations(tmp_path: Path):
    assert cpu_quota(tmp_path) is None
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("50000\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert cpu_quota(tmp_path) == 0.5
    (tmp_path / "cpu.max").write_text("300000 100000\n")
    assert cpu_quota(tmp_path) == 3
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert cpu_quota(tmp_path) is None


# --- memory ---------------------------------------------------------------------------------------------------------------
@pytest.fixture
def roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "available_memory", lambda: 8 << 30)
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_bavail=1 << 20, f_frsize=4096))


def test_enough_of_both(roomy: None):
    found = check_memory()
    assert found.status == "ok", found
    assert "8.0 GiB free" in found.found


def test_little_memory(roomy: None, monkeypatch):
    monkeypatch.setattr(machine, "available_memory", lambda: 100 << 20)
    assert check_memory().status == "warn"


@pytest.mark.skipif(not machine.SHARED.is_dir(), reason="no /dev/shm")
def test_little_shared_memory(roomy: None, monkeypatch):
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_bavail=1, f_frsize=4096))
    found = check_memory()
    assert found.status == "warn"
    assert "--shm-size" in found.todo


def test_no_shared_memory(roomy: None, monkeypatch):
    def refuse(*args: object, **how: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(shared_memory, "SharedMemory", refuse)
    found = check_memory()
    assert found.status == "warn"
    assert "Function not implemented" in found.found


def test_shared_memory_that_forgets(roomy: None, monkeypatch):
    real = shared_memory.SharedMemory

    def forgetful(name: str | None = None, create: bool = False, size: int = 0) -> shared_memory.SharedMemory:
        block = real(name, create, size)
        return block if create else real(create=True, size=size or 8)

    monkeypatch.setattr(shared_memory, "SharedMemory", forgetful)
    assert check_memory().status == "fail"


def test_available_memory_within_a_container(tmp_path: Path):
    meminfo = tmp_path / "meminfo"
    assert available_memory(meminfo, tmp_path) is None
    meminfo.write_text("MemTotal: 4000 kB\nMemAvailable:    2000 kB\n")
    assert available_memory(meminfo, tmp_path) == 2000 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("5\n")
    assert available_memory(meminfo, tmp_path) == 2000 * 1024
    (tmp_path / "memory.max").write_text("1005\n")
    assert available_memory(meminfo, tmp_path) == 1000
    assert machine.gib(None) == "unknown"
