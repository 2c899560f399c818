"""A small valid option file to vary."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

VALID = """\
name: tiny
scale: 2
datasets:
  train:
    dataroot_gt: data/HR
    gt_size: 48
network_g:
  type: SRResNet
  num_block: 4
quant:
  method: rlq
  w_bits: 4
  a_bits: 4
train:
  total_iter: 100
"""

Writer = Callable[[str], Path]


@pytest.fixture
def valid(tmp_path: Path) -> Path:
    """A file that loads."""
    file = tmp_path / "tiny.yml"
    file.write_text(VALID)
    return file


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    """Writes text to an option file and returns its path."""

    def to_file(text: str) -> Path:
        file = tmp_path / "written.yml"
        file.write_text(text)
        return file

    return to_file
