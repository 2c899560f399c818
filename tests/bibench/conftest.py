"""The leaderboard's tiny pictures, for this folder's tests too, and a benchmark with two networks."""

from __future__ import annotations

from pathlib import Path

import pytest

from qsr.bibench.rows import Network, Work
from qsr.bibench.run import Run
from tests.bibench import bench_drill
from tests.leaderboard import board_drill


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return board_drill.write_data(tmp_path_factory.mktemp("sets"))


@pytest.fixture
def made(data: Path, tmp_path: Path) -> Work:
    """A binarized network and its twin are there, untrained."""
    found = bench_drill.work(tmp_path, data)
    for operator in ("bnn", "fp"):
        bench_drill.store_model(found, Network(operator, "cnn", 2, 0))
    return found


@pytest.fixture
def run(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Every network trained; bicubic has 30 dB."""
    bicubic = {name: {"psnr_y": 30.0, "ssim_y": 0.8} for name in ("Held", "Out")}
    monkeypatch.setattr("qsr.bibench.scores.baseline_of", lambda session: {"bicubic": bicubic, "pictures": {}})
    return bench_drill.everything(tmp_path, data)
