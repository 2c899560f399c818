"""Fixture that runs a test once per backend that can be loaded here."""

from __future__ import annotations

import pytest

from qsr.runtime import backend


@pytest.fixture(params=list(backend.MODULES))
def every_backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of the backend that qsr.runtime uses during this test."""
    try:
        backend.load_kernels(request.param)
    except ImportError as fault:
        pytest.skip(str(fault))
    monkeypatch.setenv(backend.VARIABLE, request.param)
    return request.param
