"""What all tests share: the development data, one thread per process, hypothesis' settings."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

# Before the first import of torch or numba: several test processes share few cores, and one thread makes sums repeatable.
for _variable in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"

REPOSITORY = Path(__file__).resolve().parents[1]

pytest_plugins = ["tests.drill"]

hypothesis.settings.register_profile("qsr", deadline=None, max_examples=50, print_blob=True)
hypothesis.settings.register_profile("nightly", deadline=None, max_examples=5000, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "qsr"))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of this checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with real pictures (train/, benchmark/, bicubic_reference.csv): $QSR_SHARED_DATA, else ../shared/data."""
    folder = Path(os.environ.get("QSR_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (folder / "benchmark").is_dir():
        pytest.skip(f"no real pictures at {folder} (set QSR_SHARED_DATA to a folder with benchmark/ and train/)")
    return folder
