"""Makes board_drill importable and its pictures available, for this folder's tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import board_drill


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return board_drill.write_data(tmp_path_factory.mktemp("sets"))
