"""What the tests of the doctor share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qsr.doctor.check import Check
from qsr.runtime import backend


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Check]:
    """`fake("hangs", seconds=1)`: a check whose function is that of doctor_fakes.py."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))

    def make(function: str, name: str = "", **how: object) -> Check:
        return Check(name or function, "a fake", f"doctor_fakes:{function}", **how)  # type: ignore[arg-type]

    return make


@pytest.fixture
def no_extension(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The compiled extension cannot be imported, as if it had not been built."""
    import qsr

    monkeypatch.delenv("QSR_BACKEND", raising=False)
    monkeypatch.delattr(qsr, "_kernels", raising=False)
    monkeypatch.setitem(sys.modules, "qsr._kernels", None)
    monkeypatch.delitem(sys.modules, "qsr.runtime.engine", raising=False)
    backend._choose.cache_clear()
    yield
    backend._choose.cache_clear()
