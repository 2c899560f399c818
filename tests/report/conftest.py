"""Makes example_board and reading importable and the example available, for this folder's tests."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import example_board

from qsr.report.board import Board, read_board


@pytest.fixture
def board_data() -> dict:
    """leaderboard.json's content, without pictures; a test may change it."""
    return example_board.board_json()


@pytest.fixture(scope="session")
def board_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with leaderboard.json and its pictures; not to be written to."""
    folder = tmp_path_factory.mktemp("board")
    data = example_board.board_json()
    example_board.add_pictures(data, folder, ("photos/chelsea", "photos/coffee"))
    example_board.write_board(folder, data)
    return folder


@pytest.fixture
def read(tmp_path: Path) -> Callable[[dict], Board]:
    """The board of a leaderboard.json's content."""
    return lambda data: read_board(example_board.write_board(tmp_path, data))
