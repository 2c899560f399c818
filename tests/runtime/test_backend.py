from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from qsr.errors import EnvironmentFault, OptionsError
from qsr.runtime import backend


@pytest.fixture(autouse=True)
def forget_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(backend.VARIABLE, raising=False)
    backend._choose.cache_clear()


def without(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    real = backend.load_kernels

    def load(name: str) -> backend.Kernels:
        if name in names:
            raise ImportError(f"no {name} here")
        return real(name)

    monkeypatch.setattr(backend, "load_kernels", load)


def test_forced_backend_is_used_and_explained(every_backend: str) -> None:
    info = backend.backend_info()
    assert (info.name, info.reason) == (every_backend, "QSR_BACKEND asks for it")
    assert backend.kernels().__name__ == backend.MODULES[every_backend]


def test_numba_takes_over_where_nothing_was_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "extension")
    info = backend.backend_info()
    assert info.name == "numba"
    assert info.reason == "next best: no extension here"
    assert info.unavailable == {"extension": "no extension here"}


def test_numpy_is_always_there(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "extension", "numba")
    assert backend.backend_info().name == "numpy"
    assert set(backend.backend_info().unavailable) == {"extension", "numba"}


def test_missing_extension_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match="was not built"):
        backend.load_kernels("extension")


def test_unknown_backend_is_an_options_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(backend.VARIABLE, "numbaa")
    with pytest.raises(OptionsError) as caught:
        backend.kernels()
    assert str(caught.value) == ("QSR_BACKEND: found 'numbaa', expected one of extension, numba, numpy (did you mean numba?)")


def test_forced_backend_that_cannot_be_loaded_is_not_replaced_silently(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "extension")
    monkeypatch.setenv(backend.VARIABLE, "extension")
    with pytest.raises(EnvironmentFault, match="QSR_BACKEND: backend 'extension' cannot be loaded: no extension here"):
        backend.kernels()


def test_importing_the_runtime_imports_neither_torch_nor_numba(repository: Path) -> None:
    code = "import qsr.runtime, sys; print(sorted({'torch', 'numba', 'cv2'} & set(sys.modules)))"
    environment = {**os.environ, backend.VARIABLE: "numpy"}
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
