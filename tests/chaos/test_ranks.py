"""Two processes over gloo: the same bits after a stop and a resume, the numbers of one process, no hang (reliability T4)."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import train_drill
from safetensors.numpy import load_file
from train_drill import assert_same, outcome, run, run_ranks, tiny_options

from qsr.archs.modelfile import load_model
from qsr.data.benchmark import open_folders
from qsr.evaluate.benchmark import evaluate_set
from qsr.evaluate.protocol import default
from qsr.evaluate.upscale import Upscaler
from tests.drill import Drill

REPOSITORY = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def one_patch_each(pictures: Path, root: Path, **sections: Any) -> Any:
    train = {"dataroot_gt": str(pictures / "train"), "gt_size": 8, "batch_size_per_gpu": 1}
    val = {"name": "held-out", "dataroot_gt": str(pictures / "val")}
    return tiny_options(pictures, root, datasets={"train": train, "val": val}, **sections)


@pytest.fixture(scope="module")
def two_ranks(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ranks")
    assert run_ranks(one_patch_each(pictures, root), 2, free_port()) == [0, 0]
    return root / "tiny"


@pytest.mark.drill("T4")
def test_two_ranks_stopped_and_resumed_give_the_same_bits(two_ranks: Path, pictures: Path, tmp_path: Path) -> None:
    options = one_patch_each(pictures, tmp_path)
    # only rank 1 hears the signal; both stop, at the same step
    codes = run_ranks(options, 2, free_port(), rank1={"signal_at": 8, "signals": [signal.SIGTERM]})
    assert codes == [5, 5]
    assert run_ranks(options, 2, free_port(), auto_resume=True) == [0, 0]
    assert_same(outcome(tmp_path / "tiny"), outcome(two_ranks))


def test_validation_over_two_ranks_gives_the_single_process_numbers(two_ranks: Path, pictures: Path) -> None:
    network, info = load_model(two_ranks)
    held_out = open_folders(pictures / "val", scale=2, name="held-out")
    alone = evaluate_set(Upscaler(network), held_out, default(2)).to_json()
    assert info.metrics["results"] == [alone]


def test_two_ranks_with_half_the_batch_are_one_with_the_whole(two_ranks: Path, pictures: Path, tmp_path: Path) -> None:
    """Same samples, same mean gradient; only the order of summation differs."""
    ranked = load_file(two_ranks / "models" / "net_g_full-precision.safetensors")
    assert run(tiny_options(pictures, tmp_path), signal_at=7, signals=[signal.SIGTERM]) == 5
    alone = load_file(tmp_path / "tiny" / "models" / "net_g_full-precision.safetensors")
    for name, value in alone.items():
        np.testing.assert_allclose(ranked[name], value, rtol=0, atol=2e-5, err_msg=name)


def slowed(drill: Drill) -> dict[str, Any]:
    """Rank 1 takes its time at some iteration, and the other has to wait for it."""
    return {"slow_at": drill.random.randint(1, 8), "pause": drill.random.uniform(0.2, 2.0)}


@pytest.mark.drill("T4")
def test_a_lost_rank_hangs_nobody(two_ranks: Path, pictures: Path, tmp_path: Path, drill: Drill) -> None:
    """Without a launcher that would end the others: the one that is left has to notice by itself."""
    for round_ in drill.rounds(push=1, nightly=30):
        options = one_patch_each(pictures, tmp_path / str(round_))
        lost = drill.random.randint(0, 1)
        dies = {"die_at": drill.random.randint(8, 14), **slowed(drill)}
        begun = time.monotonic()
        codes = run_ranks(options, 2, free_port(), **{f"rank{lost}": dies})
        assert codes[lost] == -signal.SIGKILL
        assert codes[1 - lost] not in (0, None), "the one that is left cannot have finished"
        assert time.monotonic() - begun < 60
        assert run_ranks(options, 2, free_port(), auto_resume=True, rank1=slowed(drill)) == [0, 0]
        assert_same(outcome(tmp_path / str(round_) / "tiny"), outcome(two_ranks))


@pytest.mark.drill("T4")
@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_a_launcher_that_is_stopped_stops_its_ranks(two_ranks: Path, pictures: Path, tmp_path: Path, drill: Drill) -> None:
    for round_ in drill.rounds(push=0, nightly=10):
        root = tmp_path / str(round_)
        launcher = launch(one_patch_each(pictures, root), root, "--max-restarts=0")
        try:
            wait_for(root / "tiny" / "metrics.jsonl", launcher)
            time.sleep(drill.random.uniform(0, 0.3))
            launcher.terminate()
            launcher.communicate(timeout=60)
        finally:
            launcher.kill()
        assert launcher.returncode != 0 or finished(root)
        assert run_ranks(one_patch_each(pictures, root), 2, free_port(), auto_resume=True) == [0, 0]
        assert_same(outcome(root / "tiny"), outcome(two_ranks))


def launch(options: Any, root: Path, *how: str) -> subprocess.Popen[str]:
    """torchrun with two ranks; without restarts no rank dies by itself."""
    root.mkdir(parents=True, exist_ok=True)
    plain = root / "options.json"
    plain.write_text(json.dumps(options.to_json()))
    paths = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    # a store that the launcher shares with its workers keeps the dead attempt's keys, and the restarted ranks wait on them
    environment = {**os.environ, "PYTHONPATH": paths, "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    command = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", *how, train_drill.__file__, str(plain)]
    return subprocess.Popen(
        [sys.executable, "-m", *command, *(["undisturbed"] if "--max-restarts=0" in how else [])],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(file: Path, launcher: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 400  # it imports torch three times, on a machine that may have other things to do
    while not file.exists():
        assert launcher.poll() is None, launcher.communicate()[1]
        assert time.monotonic() < end, "the ranks do not begin"
        time.sleep(0.05)


def finished(root: Path) -> bool:
    return (root / "tiny" / "checkpoints" / "LATEST").read_text() == "00000016"


@pytest.mark.drill("T4")
@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_torchrun_restarts_all_when_one_rank_is_killed(two_ranks: Path, pictures: Path, tmp_path: Path) -> None:
    launcher = launch(one_patch_each(pictures, tmp_path), tmp_path, "--max-restarts=1")
    _, said = launcher.communicate(timeout=500)
    assert launcher.returncode == 0, said
    assert "exitcode: -9" in said, "rank 1 was to be killed"
    assert_same(outcome(tmp_path / "tiny"), outcome(two_ranks))
