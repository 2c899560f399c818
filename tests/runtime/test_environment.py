from __future__ import annotations

import json
import platform

import pytest

import qsr
from qsr.errors import OptionsError
from qsr.runtime.environment import environment, package_versions


def test_says_what_is_installed_and_what_is_not() -> None:
    versions = package_versions(("numpy", "no-such-package-of-ours"))
    assert versions["numpy"]
    assert versions["no-such-package-of-ours"] is None


def test_is_plain_json_with_the_backend_in_use(every_backend: str) -> None:
    facts = json.loads(json.dumps(environment()))
    assert facts["kernels"]["name"] == every_backend
    assert (facts["qsr"], facts["python"]) == (qsr.__version__, platform.python_version())
    assert facts["cores"] >= 1


def test_unknown_backend_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QSR_BACKEND", "cuda")
    with pytest.raises(OptionsError, match="QSR_BACKEND: found 'cuda'"):
        environment()
