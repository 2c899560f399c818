"""The GPU's examination, run on the processor in its place: what it computes, what it repeats, and how it is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from qsr.doctor import gpu
from qsr.doctor.gpu import check_gpu, examine

torch = pytest.importorskip("torch")


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch says that there is a GPU; what is sent there stays on the processor."""
    device = torch.device
    monkeypatch.setattr(torch, "device", lambda kind, number=0: device("cpu"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Pretend 1")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (8 << 30, 16 << 30))


def test_a_device_that_computes():
    before = torch.are_deterministic_algorithms_enabled()
    assert examine("cpu") == ""
    assert torch.are_deterministic_algorithms_enabled() == before


def test_a_healthy_gpu(pretended: None):
    found = check_gpu()
    assert found.status == "ok"
    assert "Pretend 1" in found.found


def test_a_gpu_that_miscalculates(pretended: None, monkeypatch):
    real = torch.matmul

    def wrong(a, b):
        product = real(a, b)
        if product.dtype == torch.float32:
            product[3, 4] += 1
        return product

    monkeypatch.setattr(torch, "matmul", wrong)
    found = check_gpu()
    assert found.status == "fail"
    assert "1 of 65,536 numbers of a matrix product are wrong" in found.found


def test_a_gpu_that_never_gives_the_same_twice(pretended: None, monkeypatch):
    monkeypatch.setattr(torch, "manual_seed", lambda seed: None)
    found = check_gpu()
    assert found.status == "fail"
    assert "differ from run to run" in found.found


def test_a_gpu_that_somebody_else_fills(pretended: None, monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (100 << 20, 16 << 30))
    assert check_gpu().status == "warn"


def test_none(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(gpu, "DEVICES", tmp_path)
    assert (check_gpu().status, check_gpu().found) == ("ok", "none; training uses the processor")


@pytest.mark.parametrize(("built", "why"), [(None, "was built for the processor only"), ("13.0", "cannot use it")])
def test_one_that_torch_does_not_see(monkeypatch, tmp_path: Path, built, why):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", built)
    monkeypatch.setattr(gpu, "DEVICES", tmp_path)
    (tmp_path / "nvidia0").touch()
    (tmp_path / "nvidiactl").touch()
    found = check_gpu()
    assert found.status == "warn"
    assert "nvidia0 in" in found.found
    assert why in found.found


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_the_real_one():
    assert check_gpu().status in ("ok", "warn")
