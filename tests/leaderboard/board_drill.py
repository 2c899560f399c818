"""What the tests of the leaderboard share: tiny pictures, a tiny leaderboard file, and stored results without training."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from qsr.data.image import write_png
from qsr.leaderboard.plan import Plan, Task, make
from qsr.leaderboard.run import Session
from qsr.leaderboard.work import write_result

REPOSITORY = Path(__file__).resolve().parents[2]
BOARD: dict[str, Any] = {
    "name": "tiny",
    "scale": 2,
    "sets": ["Held", "Out"],
    "seeds": [0, 1],
    "train_set": "Few",
    "budget": {"iterations": 4, "start_iterations": 6, "batch": 2, "lq_patch": 6},
    "pictures": ["Held/0"],
    "options": "tiny.yml",
    "set": {"logger.print_freq": 1},
    "groups": {"w2a2": {"start": "fp", "set": {"quant": {"w_bits": 2, "a_bits": 2}}}},
    "rows": [
        {"row": "rlq_w2a2", "group": "w2a2", "set": {"quant.method": "rlq"}},
        {"row": "fp", "group": "fp", "length": "start"},
        {"row": "lsq_w2a2", "group": "w2a2", "set": {"quant": {"method": "lsq"}}, "note": "the baseline"},
    ],
}
OPTIONS = {
    "name": "any",
    "scale": 2,
    "device": "cpu",
    "network_g": {"type": "SRResNet", "num_feat": 4, "num_block": 2},
    "datasets": {"train": {"dataroot_gt": "nowhere", "gt_size": 12}},
    "train": {"total_iter": 1, "optim_g": {"lr": 1e-3}},
    "logger": {"save_checkpoint_freq": 2},
}


def write_data(root: Path) -> Path:
    """Training set `Few` of four and benchmark sets `Held` and `Out` of two and one pictures of 24 x 28."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:24, 0:28]
    for folder, count in (("Few", 4), ("Held", 2), ("Out", 1)):
        for i in range(count):
            wave = np.stack([np.sin(x / (3 + i) + c) * np.cos(y / (4 + c)) for c in range(3)], axis=-1)
            noisy = 127 + 100 * wave + rng.normal(0, 5, wave.shape)
            write_png(root / folder / f"{i}.png", np.clip(noisy, 0, 255).astype(np.uint8))
    return root


def write_board(folder: Path, **changes: Any) -> Path:
    """BOARD with some keys replaced, and its option file beside it."""
    (folder / "tiny.yml").write_text(yaml.safe_dump(OPTIONS))
    file = folder / "board.yml"
    file.write_text(yaml.safe_dump({**BOARD, **changes}, sort_keys=False))
    return file


def plan(folder: Path, data: Path, how: dict[str, Any] | None = None, **changes: Any) -> Plan:
    """The plan of a changed BOARD below `folder`; `how` goes to `make`."""
    return make(write_board(folder, **changes), folder / "out", data_root=data, **(how or {}))


def store(session: Session, task: Task, psnr: float | None = None, why: str = "", **changes: Any) -> None:
    """A result as a trained row would have stored it: done with `psnr` on every set, or failed with `why`."""
    job = session.jobs[task.name]
    if psnr is None:
        write_result(job, job.identity, {"status": "failed", "why": why})
        return
    scores = {name: {"psnr_y": psnr, "ssim_y": 0.9} for name in job.gauge.sets}
    measured = {"depth": None, "scores": scores, "params_k": 1.5, "ops_g": 0.25, "bits": 48000, "planes": 1, "layers": {}}
    facts = {"iterations": 4, "seconds": 30.0, "curve": [[1, 0.5]], "validation": [], "measures": [{**measured, **changes}]}
    write_result(job, job.identity, {"status": "done", "why": "", **facts})


def qsr(*arguments: str, cwd: Path = REPOSITORY, **how: Any) -> subprocess.Popen[str]:
    """A qsr command in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "qsr.cli.main", *arguments]
    return subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **how
    )


def stored(out: Path, name: str) -> dict[str, Any]:
    return json.loads((out / "results" / f"{name}.json").read_text())
