"""Curves, pictures, names and costs of rows, apart from training them (test_work.py)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from board_drill import BOARD, plan

from qsr.data.image import read_rgb
from qsr.evaluate.subject import bicubic
from qsr.leaderboard.measure import (
    Gauge,
    backbone,
    baseline,
    keep_pictures,
    measuring_command,
    planes,
    thin,
    training,
    variants,
)
from qsr.options import from_dict

ROWS: list[dict[str, Any]] = BOARD["rows"]
BASE: dict[str, Any] = {"name": "n", "scale": 2}


def test_a_curve_keeps_its_end_and_at_most_so_many_points() -> None:
    points = [(i, 1 / i) for i in range(1, 1001)]
    kept = thin(points, 200)
    assert len(kept) == 200
    assert kept[-1] == [1000, 0.001]
    assert kept[0][0] == 5
    assert thin(points[:7], 200) == [list(point) for point in points[:7]]
    assert thin([]) == []


def test_training_time_counts_every_iteration_once(tmp_path: Path) -> None:
    lines = [
        {"iter": 100, "l_pix": 0.5, "l_total": 0.7, "time": 0.25},
        {"iter": 150, "validation": {"Set5": {"psnr_y": 30.0}}},
        {"iter": 200, "l_pix": 0.25, "l_total": 0.3, "time": 0.5},
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = training(tmp_path)
    assert found == {"curve": [[100, 0.5], [200, 0.25]], "validation": [[150, 30.0]], "seconds": 75.0}
    assert training(tmp_path / "none")["seconds"] is None


def test_a_row_gives_one_line_per_depth_and_one_for_the_ensemble(tmp_path: Path, data: Path) -> None:
    rows = [ROWS[1], {**ROWS[0], "depths": [2, 4], "ensemble": True}]
    made = plan(tmp_path, data, rows=rows)
    assert variants(made.by_name["fp_s0"]) == [(None, False)]
    assert variants(made.by_name["rlq_w2a2_s0"]) == [(2, False), (4, False), (2, True)]


@pytest.mark.parametrize(
    ("network", "depth", "text"),
    [
        ({"type": "SRResNet", "num_block": 8, "num_feat": 32}, None, "SRResNet edsr 8x32"),
        ({"type": "MSRResNet", "num_block": 8, "block": "unit"}, None, "SRResNet msr 8x64, unit blocks"),
        ({"type": "SwinIR"}, None, "SwinIR 4x6 of 60"),
        ({"type": "Mixer", "num_block": 8, "num_feat": 32, "block": "unit"}, None, "Mixer 8x32, unit blocks"),
        ({"type": "SRResNet"}, 4, "SRResNet edsr 4x64"),
        ({"type": "basicsr:RCAN"}, None, "basicsr:RCAN"),
    ],
)
def test_backbones_are_named(network: dict[str, Any], depth: int | None, text: str) -> None:
    assert backbone(from_dict({**BASE, "network_g": network}), depth) == text


@pytest.mark.parametrize(
    ("method", "settings", "count"), [("srb", {}, 2), ("srb", {"order": 3}, 3), ("bnn", {}, 1), (None, {}, None)]
)
def test_planes_are_counted_in_the_network(method: str | None, settings: dict[str, Any], count: int | None) -> None:
    from qsr import archs

    quant = {"method": method, "w_bits": 1, "a_bits": 1, "settings": settings} if method else None
    tiny = {"type": "SRResNet", "num_feat": 4, "num_block": 1}
    options = from_dict({**BASE, "network_g": tiny, **({"quant": quant} if quant else {})})
    network = archs.build(options)
    archs.quantize(network, options)
    assert planes(network) == count


def test_the_originals_lie_beside_the_rows_pictures(tmp_path: Path, data: Path) -> None:
    gauge = Gauge(2, ("Held",), ("Held/0", "Held/gone", "Absent/0"), data)
    made = baseline(tmp_path, gauge)
    assert set(made["bicubic"]) == {"Held"}
    assert list(made["pictures"]) == ["Held/0"]
    sizes = {kind: read_rgb(tmp_path / file).shape[:2] for kind, file in made["pictures"]["Held/0"].items()}
    assert sizes == {"hr": (24, 28), "lr": (12, 14), "bicubic": (24, 28)}
    kept = keep_pictures(bicubic((2,)), gauge, tmp_path, "pictures/some")
    assert (read_rgb(tmp_path / kept["Held/0"]) == read_rgb(tmp_path / made["pictures"]["Held/0"]["bicubic"])).all()


def test_the_command_measures_the_same(tmp_path: Path, data: Path) -> None:
    task = plan(tmp_path, data).by_name["fp_s0"]
    gauge = Gauge(2, ("Held", "Out"), (), data)
    words = measuring_command(task, gauge, 4, True)
    assert words == f"qsr test {task.folder} --sets Held,Out --data-root {data} --depth 4 --self-ensemble"
