"""The leaderboard's tiny pictures, for this folder's tests too."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.leaderboard import board_drill


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return board_drill.write_data(tmp_path_factory.mktemp("sets"))
