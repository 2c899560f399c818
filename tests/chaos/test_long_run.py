"""The long run (long_run.py), nightly: the same bits under everything, and nothing that grows (reliability T1, T9)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.chaos.long_run import long_run
from tests.drill import Drill

ITERATIONS = int(os.environ.get("QSR_LONG_RUN", "20000"))


@pytest.mark.nightly
@pytest.mark.timeout(7200)
@pytest.mark.drill("T9")
@pytest.mark.drill("T1")
def test_disturbed_for_long_it_ends_with_the_same_bits_and_nothing_grows(tmp_path: Path, drill: Drill) -> None:
    report = long_run(ITERATIONS, drill.seed, tmp_path)
    print(report.text())
    drill.count(sum(report.ends.values()))
    assert report.differences == []
    assert sum(report.ends.values()) >= ITERATIONS // 1000
    assert report.growth < 0.01
    assert len(report.seen("fds")) == 1
    assert len(report.seen("threads")) == 1
    assert report.log_bytes < (1 << 20) * max(ITERATIONS / 10_000, 1)
