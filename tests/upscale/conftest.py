"""Makes upscale_fakes importable, for this folder's tests and the verb's."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import upscale_fakes


@pytest.fixture
def network() -> upscale_fakes.Nearest:
    return upscale_fakes.Nearest()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder for what a test writes."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    return folder
