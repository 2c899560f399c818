"""From stored results and cells to the metrics, on numbers that can be followed by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from qsr.bibench import cells as cells_of
from qsr.bibench import collect
from qsr.bibench.rows import Network
from qsr.bibench.run import How, Run
from qsr.bibench.tables import ablation, cell_text, csv_text, lines, markdown, published, terminal
from tests.bibench.bench_drill import running, store, store_cell
from tests.bibench.test_timed import stored

PSNR = {"fp": 36.0, "bnn": 33.0, "xnor": 34.0, "part": 35.0}


@pytest.fixture
def run(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Every network trained, with the same PSNR on both sets; bicubic at 30 dB."""
    found, _ = running(tmp_path, data)
    for network in found.work.networks():
        store(found, network, PSNR[network.operator] + (network.family == "other"))
        stored(found.work, network)
    scores = {name: {"psnr_y": 30.0, "ssim_y": 0.8} for name in ("Held", "Out")}
    monkeypatch.setattr("qsr.bibench.scores.baseline_of", lambda session: {"bicubic": scores, "pictures": {}})
    return found


def measured(run: Run, kind: str, name: str, values: dict[str, Any]) -> None:
    store_cell(next(cell for cell in cells_of.cells(run.work, kind) if cell.name == name), values)  # type: ignore[arg-type]


def noise(clean: float, corrupted: float, bright: float) -> dict[str, Any]:
    return {
        "clean": clean,
        "corrupted": {"gaussian_noise": [corrupted + 1, corrupted - 1], "brightness": [bright, bright]},
        "severities": [1, 5],
    }


def metric(found: dict[str, Any], operator: str, column: str, reading: str = "psnr") -> dict[str, Any]:
    row = next(one for one in found["operators"] if one["operator"] == operator)
    cell: dict[str, Any] = row["metrics"][reading][column]
    return cell


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
    from tests.leaderboard.board_drill import store as store_row

    for operator, scores in (("bnn", (36.0, 36.0, 36.4, 36.4)), ("fp", (36.0, 36.0, 36.2, 36.2))):
        for task, psnr in zip(run.work.grid(operator, "cnn"), scores, strict=True):
            store_row(grid, task, psnr)
    found = collect.collect(run)
    assert metric(found, "bnn", "infer")["value"] == pytest.approx(math.sqrt((3**2 + 5**2) / 2))
    assert metric(found, "bnn", "infer_portable")["value"] == pytest.approx(math.sqrt((1 + 5**2) / 2))
    assert metric(found, "bnn", "train")["value"] == pytest.approx(math.sqrt((0.75**2 + 0.5**2) / 2))
    assert metric(found, "xnor", "train")["value"] is None
    assert metric(found, "xnor", "comp")["value"] > 1, "counted, not measured: there without any training"
    assert "n/a" in next(line for line in lines(found, "psnr") if line[0] == "xnor")
    text = csv_text(found)
    assert 'train,bnn,cnn,2,0,"PSNR_Y, 0.0001-cosine",36.0,qsr train' in text
    assert "infer,bnn_cnn_x2_s0,,,,twin's ms over it,2.0,qsr bibench" in text


def test_a_network_that_is_missing_is_said_and_not_guessed(data: Path, tmp_path: Path) -> None:
    run, _ = running(tmp_path, data)
    for operator in ("fp", "bnn"):
        store(run, Network(operator, "cnn", 2, 0), PSNR[operator])
    found = collect.collect(run)
    task = metric(found, "bnn", "task")
    assert task["value"] == pytest.approx(33 / 36)
    assert (task["measured"], task["wanted"]) == (2, 4)
    assert cell_text(task) == "0.917*"
    assert metric(found, "xnor", "task")["value"] is None
    assert "n/a" in markdown(found)
    assert "*: some of its cells are missing" in markdown(found)


def test_seeds_give_a_spread(data: Path, tmp_path: Path) -> None:
    run, _ = running(tmp_path, data, seeds=[0, 1])
    for network in run.work.networks():
        store(run, network, PSNR[network.operator] + (0.36 if network.seed and network.operator == "bnn" else 0))
    cell = metric(collect.collect(run), "bnn", "task")
    assert cell["value"] == pytest.approx((33 / 36 + 33.36 / 36) / 2)
    assert cell["spread"] == pytest.approx(0.01)
    assert cell_text(cell) == "0.922 ±0.005"


def test_the_files_that_are_written(run: Run) -> None:
    run.failed["infer/bnn_cnn_x2_s0"] = "no compiler"
    found = collect.write(run)
    out = run.work.out
    assert {file.name for file in out.glob("bibench.*")} == {"bibench.json", "bibench.csv", "bibench.md"}
    assert (out / "x2" / "leaderboard.json").is_file()
    text = (out / "bibench.md").read_text()
    assert "| BNN | 0.918 | 0.918 |" in text
    assert "| part | 35.00 | 35.00 |" in text
    assert "infer/bnn_cnn_x2_s0: failed: no compiler" in text
    assert "BiBench's own numbers" not in text
    assert ablation(found)[0] == ["", "Conv x2 Held", "Conv x2 Out"]
    assert len(terminal(found)) == 2


def test_published_numbers_stand_beside_ours_where_the_file_has_them(data: Path, tmp_path: Path) -> None:
    operators = [{"operator": "bnn", "set": {"quant.method": "bnn"}, "published": {"task": 0.4, "infer": 3.5}}]
    run, _ = running(tmp_path, data, operators=operators)
    assert published(collect.collect(run)) == (["", "task", "infer"], [["bnn", "0.4", "3.5"]])


def test_results_of_other_code_count_only_where_that_is_allowed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qsr.leaderboard.identity.code_of", lambda task: ("other", "code"))
    strict = Run(run.work, How(), print)
    assert metric(collect.collect(strict), "bnn", "task")["value"] is None
    lenient = Run(run.work, How(any_code=True), print)
    assert metric(collect.collect(lenient), "bnn", "task")["value"] is not None
