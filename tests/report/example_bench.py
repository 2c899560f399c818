"""A benchmark as qsr/bibench/collect.py writes it, small enough to be followed by eye."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from qsr.data.image import write_png
from qsr.report.bibench_tables import FORMAT

KINDS = ("gaussian_noise", "brightness")


def _metric(value: float | None, spread: float | None = None, measured: int = 4) -> dict[str, Any]:
    return {"value": value, "spread": spread, "measured": measured, "wanted": 4}


def _operator(name: str, label: str, task: float | None, **more: Any) -> dict[str, Any]:
    psnr = {"task": _metric(task, 0.01), "arch": _metric(task), "comp": _metric(3.0), "infer": _metric(2.5, measured=3)}
    metrics = {"psnr": psnr, "gain": {"task": _metric(None if task is None else task / 2), "arch": _metric(None, measured=0)}}
    about = {"operator": name, "label": label, "group": "operator", "families": ["cnn"], "note": "", "published": {}}
    return {**about, "metrics": metrics, **more}


def _robust(clean: float, pictures: dict[str, Any]) -> dict[str, Any]:
    corrupted = {"gaussian_noise": [clean - 2, clean - 6], "brightness": [clean - 10, clean - 14]}
    return {"clean": clean, "corrupted": corrupted, "severities": [1, 5], "pictures": pictures}


def _cell(title: str, values: dict[str, Any]) -> dict[str, Any]:
    command = f"qsr bibench -opt small.yml --cell {title}"
    return {"made": "2026-11-28T05:00:00Z", "seconds": 4.0, "machine": {}, "command": command, "values": values}


def _network(operator: str, psnr: float | None) -> dict[str, Any]:
    names = {"operator": operator, "family": "cnn", "scale": 2, "seed": 0, "experiment": f"rows/{operator}_cnn_s0"}
    test = None if psnr is None else f"qsr test rows/{operator}_cnn_s0"
    more = {"r_c": 3.0, "r_s": 4.0, "degradation": {}, "seconds": 60.0, "iterations": 1000, "test_command": test}
    return {**names, "psnr": {"Set5": psnr}, "train_command": f"qsr train {operator}", **more}


def example() -> dict[str, Any]:
    """Two operators and an ablation on one family; the second operator was not trained."""
    kept = {
        name: {"Set5/bird": {kind: f"pictures/{name}_{kind}.png" for kind in ("clean", *KINDS)}}
        for name in ("bicubic_x2", "fp_cnn_x2_s0", "bnn_cnn_x2_s0")
    }
    kept["bicubic_x2"]["Set5/bird"] |= {f"lr_{kind}": f"pictures/lr_{kind}.png" for kind in ("clean", *KINDS)}
    quality = {"bicubic_x2": 33.0, "fp_cnn_x2_s0": 37.0, "bnn_cnn_x2_s0": 36.0}
    cells = {f"robust/{name}": _cell(f"robust/{name}", _robust(quality[name], kept[name])) for name in kept}
    cells["infer/bnn_cnn_x2_s0"] = _cell("infer/bnn_cnn_x2_s0", {"commands": ["qsr bench bnn.qsr"]})
    ablation = _operator("part", "no <shift>", None, group="ablation", metrics={})
    operators = [_operator("bnn", "BNN", 0.97, published={"task": 0.4}), _operator("odd", "<b>odd</b>", None), ablation]
    point = {"operator": "bnn", "family": "cnn", "point": "0.001-cosine", "psnr": None, "train_command": "qsr train grid"}
    return {
        "format": FORMAT,
        "name": "small",
        "scales": [2],
        "sets": ["Set5"],
        "seeds": [0],
        "made": "2026-11-28T06:00:00Z",
        "protocol": "sr-y-crop2-uint8",
        "budget": {"iterations": 1000, "start_iterations": 3000},
        "robust": {"sets": [], "kinds": list(KINDS)},
        "machine": {"cpu": "Make 7", "isa": "avx2", "cores": 2},
        "versions": {"qsr": "0.1.0", "torch": "2.13.0"},
        "hours": {"training": 1.5, "measuring": 0.2},
        "families": {"cnn": {"label": "SRResNet"}},
        "columns": ["task", "arch", "comp", "infer"],
        "operators": operators,
        "networks": [_network("fp", 37.0), _network("bnn", 36.0), _network("odd", None), _network("part", 35.5)],
        "bicubic": {"x2": {"Set5": 33.0}},
        "grid": [point],
        "cells": cells,
        "failed": {},
    }


def write_pictures(folder: Path, bench: dict[str, Any]) -> None:
    """Every picture that it names, LR of 40 x 48."""
    rng = np.random.default_rng(0)
    for cell in bench["cells"].values():
        for files in cell["values"].get("pictures", {}).values():
            for name, file in files.items():
                side = 1 if name.startswith("lr_") else 2
                write_png(folder / file, rng.integers(0, 256, (40 * side, 48 * side, 3), dtype=np.uint8))
