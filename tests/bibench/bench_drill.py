"""What the tests of the benchmark share: a tiny file on the leaderboard's tiny pictures, stored results without training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import yaml

from qsr.archs import build, quantize
from qsr.archs.modelfile import ModelInfo, save_model, versions
from qsr.bibench.cells import FORMAT, Cell, Kind, cells, key
from qsr.bibench.rows import Network, Work, make
from qsr.bibench.run import How, Run
from qsr.files import write_atomic
from qsr.quant import calibrate
from tests.leaderboard.board_drill import store as store_row

BENCH: dict[str, Any] = {
    "name": "tiny",
    "scales": [2],
    "sets": ["Held", "Out"],
    "seeds": [0],
    "train_set": "Few",
    "budget": {"iterations": 4, "start_iterations": 6, "batch": 2, "lq_patch": 6},
    "pictures": ["Held/0"],
    "set": {"logger.print_freq": 1},
    "families": {
        "cnn": {
            "label": "Conv",
            "options": "one_bit.yml",
            "start": "full.yml",
            "binary": {"network_g.block": "unit"},
        },
        "other": {"options": "one_bit.yml", "start": "full.yml", "set": {"network_g.num_feat": 8}},
    },
    "operators": [
        {"operator": "bnn", "label": "BNN", "set": {"quant.method": "bnn"}},
        {"operator": "xnor", "set": {"quant.method": "xnor"}},
        {"operator": "part", "group": "ablation", "families": ["cnn"], "set": {"quant.method": "bireal"}},
    ],
    "robust": {"sets": ["Held"], "kinds": ["gaussian_noise", "brightness"], "severities": [1, 5]},
    "training": {"rounds": 2, "iterations": 1, "grid": {"iterations": 4, "rates": [1e-4, 1e-3], "set": "Held"}},
    "inference": {"size": [12, 10], "threads": 1, "rounds": 2},
}
FULL: dict[str, Any] = {
    "name": "any",
    "scale": 2,
    "device": "cpu",
    "network_g": {"type": "SRResNet", "layout": "msr", "num_feat": 4, "num_block": 1},
    "datasets": {"train": {"dataroot_gt": "nowhere", "gt_size": 12}},
    "train": {"total_iter": 1, "optim_g": {"lr": 1e-3}},
    "logger": {"save_checkpoint_freq": 2},
}


def write_bench(folder: Path, **changes: Any) -> Path:
    """BENCH with some keys replaced, and its option files beside it."""
    (folder / "full.yml").write_text(yaml.safe_dump(FULL))
    (folder / "one_bit.yml").write_text(yaml.safe_dump({**FULL, "quant": {"method": "bnn", "w_bits": 1, "a_bits": 1}}))
    file = folder / "bench.yml"
    file.write_text(yaml.safe_dump({**BENCH, **changes}, sort_keys=False))
    return file


def work(folder: Path, data: Path, how: dict[str, Any] | None = None, **changes: Any) -> Work:
    """The work of a changed BENCH below `folder`; `how` goes to `make`."""
    return make(write_bench(folder, **changes), folder / "out", data_root=data, **(how or {}))


def running(folder: Path, data: Path, how: How | None = None, **changes: Any) -> tuple[Run, list[str]]:
    """A run that has not begun, and what it will say."""
    said: list[str] = []
    return Run(work(folder, data, **changes), how or How(), said.append), said


def store(run: Run, network: Network, psnr: float) -> None:
    """A result as a trained network would have stored it."""
    session = run.sessions[f"x{network.scale}"]
    store_row(session, run.work.task(network), psnr, test_command="qsr test")


def store_cell(cell: Cell, values: dict[str, Any]) -> None:
    """A cell's file as if it had been measured now."""
    body = {"format": FORMAT, "cell": cell.title, "key": key(cell), "made": "2026-11-28T00:00:00Z", "seconds": 1.0}
    about = {"machine": {}, "versions": {}, "command": "qsr bibench", "values": values}
    write_atomic(cell.file, json.dumps(body | about).encode())


def store_model(work: Work, network: Network) -> Path:
    """A network that was never trained, as its experiment would hold it."""
    task = work.task(network)
    torch.manual_seed(0)
    built = build(task.options)
    report = quantize(built, task.options)
    calibrate(built, [torch.rand(1, 3, 8, 8)])
    file = task.folder / "models" / "net_g_latest.safetensors"
    file.parent.mkdir(parents=True)
    save_model(
        file, built, ModelInfo(options=task.options.to_json(), layers=report.to_json(), iteration=4, versions=versions())
    )
    return file


def cell_of(made: Work, kind: Kind, name: str = "bnn_cnn_x2_s0") -> Cell:
    """One cell by its name."""
    return next(one for one in cells(made, kind) if one.name == name)


PSNR = {"fp": 36.0, "bnn": 33.0, "xnor": 34.0, "part": 35.0}
"""What `everything` scores in the family cnn; one dB more in the other."""


def everything(folder: Path, data: Path) -> Run:
    """Every network trained, with the same PSNR on both sets."""
    found, _ = running(folder, data)
    for network in found.work.networks():
        store(found, network, PSNR[network.operator] + (network.family == "other"))
        store_model(found.work, network)
    return found


def metric(found: dict[str, Any], operator: str, column: str, reading: str = "psnr") -> dict[str, Any]:
    row = next(one for one in found["operators"] if one["operator"] == operator)
    cell: dict[str, Any] = row["metrics"][reading][column]
    return cell
