"""`qsr train` as a user types it: BasicSR's spellings, what is printed, exit codes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
import yaml
from typer.testing import CliRunner

from qsr.cli.train_verb import command
from qsr.data.image import write_png
from qsr.errors import OptionsError

app = typer.Typer()
app.command()(command)


@pytest.fixture
def option_file(tmp_path: Path) -> Path:
    """A run of 4 iterations in BasicSR's style, with a key that means nothing here."""
    rng = np.random.default_rng(0)
    for i in range(2):
        write_png(tmp_path / "hr" / f"{i}.png", rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
    plain = {
        "name": "cli",
        "model_type": "SRModel",
        "scale": 2,
        "num_gpu": 1,
        "device": "cpu",
        "datasets": {"train": {"name": "two", "type": "PairedImageDataset", "dataroot_gt": str(tmp_path / "hr"), "gt_size": 8}},
        "network_g": {"type": "MSRResNet", "num_feat": 4, "num_block": 1},
        "path": {"experiments_root": str(tmp_path / "experiments")},
        "train": {"total_iter": 4},
        "logger": {"print_freq": 2, "use_tb_logger": False},
    }
    path = tmp_path / "cli.yml"
    path.write_text(yaml.safe_dump(plain))
    return path


def test_trains_and_says_where_everything_is(option_file: Path) -> None:
    result = CliRunner().invoke(app, ["-opt", str(option_file), "--force_yml", "train:total_iter=2", "--local-rank", "0"])
    assert result.exit_code == 0, result.output
    text = result.output.replace("\n", " ")
    assert "num_gpu: ignored" in text
    assert "iter:       2" in text
    assert "done: 2 iterations" in text
    assert "try next: qsr test" in text
    experiment = option_file.parent / "experiments/cli"
    assert (experiment / "models/net_g_latest.safetensors").is_file()

    again = CliRunner().invoke(app, ["--opt", str(option_file)])
    assert isinstance(again.exception, OptionsError)
    more = CliRunner().invoke(app, ["-opt", str(option_file), "--auto_resume", "--set", "logger.print_freq=1"])
    assert more.exit_code == 0, more.output
    assert "resumed" in more.output
    assert "done: 4 iterations" in more.output
    anew = CliRunner().invoke(app, ["-opt", str(option_file), "--overwrite", "--set", "train.total_iter=1"])
    assert anew.exit_code == 0, anew.output
    assert "resumed" not in anew.output


def test_missing_pictures_are_told_before_anything_is_made(option_file: Path) -> None:
    result = CliRunner().invoke(app, ["-opt", str(option_file), "--set", "datasets.train.dataroot_gt=nowhere"])
    assert isinstance(result.exception, OptionsError)
    assert "nowhere" in str(result.exception)
    assert not (option_file.parent / "experiments").exists()


def test_ctrl_c_saves_and_exits_with_5(option_file: Path, repository: Path) -> None:
    """The whole program in a process of its own."""
    arguments = ["train", "-opt", str(option_file), "--set", "train.total_iter=1000000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "qsr.cli.main", *arguments],
        cwd=repository,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "iter:" in line:
            break
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 5
    assert "stopped on SIGINT at iteration" in errors
    assert "everything is saved (--auto_resume continues)" in errors
    assert (option_file.parent / "experiments/cli/checkpoints/LATEST").is_file()
