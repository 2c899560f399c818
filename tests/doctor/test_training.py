"""torch and what else training needs, each broken in the way that users meet it."""

from __future__ import annotations

import sys
from importlib import metadata
from types import SimpleNamespace

import pytest

from qsr.doctor import training
from qsr.doctor.training import check_basicsr, check_packages, check_tensorboard, check_torch
from qsr.doctor.worker import examine

torch = pytest.importorskip("torch")


def pretend(monkeypatch: pytest.MonkeyPatch, versions: dict[str, str | None]) -> None:
    """Let pip know other versions; None: not installed."""
    real = metadata.version

    def version(name: str) -> str:
        found = versions[name] if name in versions else real(name)
        if found is None:
            raise metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(metadata, "version", version)


def test_this_installation_is_healthy():
    assert check_torch().status == "ok"
    found = check_packages()
    assert found.status == "ok", found


def test_an_old_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(__version__="2.9.1+cpu"))
    found = check_torch()
    assert found.status == "fail"
    assert "torch 2.9.1+cpu, expected >=2.10" in found.found


def test_a_torch_built_for_another_numpy(monkeypatch):
    def from_numpy(array):
        raise RuntimeError("Numpy is not available")

    monkeypatch.setattr(torch, "from_numpy", from_numpy)
    found = check_torch()
    assert found.status == "fail"
    assert "Numpy is not available" in found.found


def test_a_torch_that_cannot_add(monkeypatch):
    monkeypatch.setattr(torch, "from_numpy", lambda array: torch.zeros(4))
    assert check_torch().status == "fail"


def test_a_torch_that_does_not_import(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    found = examine("qsr.doctor.training:check_torch", [], None)
    assert found.status == "fail"
    assert "torch" in found.found


def test_an_incomplete_extra(monkeypatch):
    pretend(monkeypatch, {"scipy": None})
    found = check_packages()
    assert (found.status, found.found) == ("fail", "scipy is not installed")
    assert found.todo == "pip install 'qsr[train]'"


def test_no_extra_at_all(monkeypatch):
    monkeypatch.setattr(training, "installed", lambda name: False)
    found = check_packages()
    assert found.status == "skip"
    assert "needed for training" in found.found


def test_opencv_without_its_system_libraries(monkeypatch):
    monkeypatch.setattr(
        training, "import_problem", lambda name: "ImportError: libGL.so.1: cannot open" if name == "cv2" else ""
    )
    found = check_packages()
    assert found.status == "fail"
    assert "apt-get install libgl1" in found.todo


# --- tensorboard ----------------------------------------------------------------------------------------------------------
def test_tensorboard_is_healthy_here():
    assert check_tensorboard().status == "ok"


def test_both_tensorboards(monkeypatch):
    pretend(monkeypatch, {"tb-nightly": "2.22.0a1"})
    found = check_tensorboard()
    assert found.status == "warn"
    assert "tb-nightly 2.22.0a1 are both installed" in found.found
    assert found.todo.startswith("pip uninstall -y tb-nightly tensorboard")


def test_a_tensorboard_that_does_not_import(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    found = check_tensorboard()
    assert found.status == "fail"
    assert "tensorboard does not import" in found.found


def test_no_tensorboard(monkeypatch):
    pretend(monkeypatch, {"tensorboard": None, "tb-nightly": None})
    assert check_tensorboard().status == "skip"


# --- basicsr --------------------------------------------------------------------------------------------------------------
def test_basicsr_is_optional(monkeypatch):
    pretend(monkeypatch, {"basicsr": None})
    assert check_basicsr().status == "skip"


def test_basicsr_is_healthy_here():
    if training.version_of("basicsr") is None:
        pytest.skip("basicsr is not installed")
    found = check_basicsr()
    assert found.status == "ok"
    assert "networks" in found.found
    # beside a torchvision that lacks what it needs: tests/cli/test_doctor_verb.py
