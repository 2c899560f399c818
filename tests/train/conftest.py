"""Makes train_drill importable and its pictures available, for this folder's tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import train_drill


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_drill.write_pictures(tmp_path_factory.mktemp("pictures"))
