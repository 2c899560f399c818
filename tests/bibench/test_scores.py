"""From stored results and cells to the metrics, on numbers that can be followed by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from qsr.bibench import cells as cells_of
from qsr.bibench import collect
from qsr.bibench.run import How, Run
from tests.bibench.bench_drill import PSNR, metric, running, store, store_cell
from tests.leaderboard.board_drill import store as store_row


def measured(run: Run, kind: str, name: str, values: dict[str, Any]) -> None:
    store_cell(next(cell for cell in cells_of.cells(run.work, kind) if cell.name == name), values)  # type: ignore[arg-type]


def noise(clean: float, corrupted: float, bright: float) -> dict[str, Any]:
    return {
        "clean": clean,
        "corrupted": {"gaussian_noise": [corrupted + 1, corrupted - 1], "brightness": [bright, bright]},
        "severities": [1, 5],
    }


def test_task_and_architecture(run: Run) -> None:
    found = collect.collect(run)
    first, second = 33 / 36, 34 / 37
    task, arch = (metric(found, "bnn", column) for column in ("task", "arch"))
    assert task["value"] == pytest.approx((first + second) / 2), "both sets have the same mean over the families"
    assert arch["value"] == pytest.approx(math.sqrt((first**2 + second**2) / 2))
    assert (task["measured"], task["wanted"]) == (4, 4)
    assert metric(found, "bnn", "arch", "gain")["value"] == pytest.approx(math.sqrt(((3 / 6) ** 2 + (4 / 7) ** 2) / 2))
    assert task["spread"] is None, "one seed"


def test_robustness_with_and_without_the_kinds_that_move_the_level(run: Run) -> None:
    measured(run, "robust", "bicubic_x2", noise(30, 28, 20))
    for family in ("cnn", "other"):
        measured(run, "robust", f"fp_{family}_x2_s0", noise(36, 30, 21))
        measured(run, "robust", f"bnn_{family}_x2_s0", noise(33, 29, 23))
    found = collect.collect(run)
    # the twin loses 6 and 15 dB, the network 4 and 10: 1.5 both
    assert metric(found, "bnn", "robust")["value"] == pytest.approx(1.5)
    # above bicubic the twin falls from 6 to 2 and 1, the network from 3 to 1 and stays at 3 (a loss of 0.01 at least)
    still = metric(found, "bnn", "robust_still", "gain")
    assert still["value"] == pytest.approx(4 / 2)
    whole = metric(found, "bnn", "robust", "gain")
    assert whole["value"] == pytest.approx(math.sqrt((2**2 + (5 / 0.01) ** 2) / 2))
    assert metric(found, "xnor", "robust") == {"value": None, "spread": None, "measured": 0, "wanted": 4}


def test_times_sizes_and_stability(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for family, ratio in (("cnn", 2.0), ("other", 4.0)):
        measured(run, "train", f"bnn_{family}_x2_s0", {"ratio": ratio / 4, "seconds_per_1000": {"binary": 1.0, "twin": 1.0}})
        packed = {"milliseconds": {"binary": 1.0, "twin": ratio}, "bytes": {"binary": 10, "twin": 50}}
        measured(
            run, "infer", f"bnn_{family}_x2_s0", {"ratio": ratio, "bytes_ratio": 5.0, "portable": {"ratio": 1.0}, **packed}
        )
    grid = run.sessions["grid"]
    for operator, scores in (("bnn", (36.0, 36.0, 36.4, 36.4)), ("fp", (36.0, 36.0, 36.2, 36.2))):
        for task, psnr in zip(run.work.grid(operator, "cnn"), scores, strict=True):
            store_row(grid, task, psnr)
    found = collect.collect(run)
    assert metric(found, "bnn", "infer")["value"] == pytest.approx(math.sqrt((3**2 + 5**2) / 2))
    assert metric(found, "bnn", "infer_portable")["value"] == pytest.approx(math.sqrt((1 + 5**2) / 2))
    assert metric(found, "bnn", "train")["value"] == pytest.approx(math.sqrt((0.75**2 + 0.5**2) / 2))
    assert metric(found, "xnor", "train")["value"] is None
    assert metric(found, "xnor", "comp")["value"] > 1, "counted, not measured: there without any training"


def test_seeds_give_a_spread(data: Path, tmp_path: Path) -> None:
    run, _ = running(tmp_path, data, seeds=[0, 1])
    for network in run.work.networks():
        store(run, network, PSNR[network.operator] + (0.36 if network.seed and network.operator == "bnn" else 0))
    cell = metric(collect.collect(run), "bnn", "task")
    assert cell["value"] == pytest.approx((33 / 36 + 33.36 / 36) / 2)
    assert cell["spread"] == pytest.approx(0.01)


def test_results_of_other_code_count_only_where_that_is_allowed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qsr.leaderboard.identity.code_of", lambda task: ("other", "code"))
    strict = Run(run.work, How(), print)
    assert metric(collect.collect(strict), "bnn", "task")["value"] is None
    lenient = Run(run.work, How(any_code=True), print)
    assert metric(collect.collect(lenient), "bnn", "task")["value"] is not None
