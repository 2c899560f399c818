"""What the tests of training share: tiny pictures, tiny options, and runs in processes that can be killed.

Processes come from a fork server that has imported everything once; a run then costs its iterations, not seconds of
imports. A process that is to die does so at a chosen iteration or at a chosen fsync, so that a failure can be repeated.
"""

from __future__ import annotations

import faulthandler
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from qsr.data.image import write_png
from qsr.errors import QsrError
from qsr.options import from_dict
from qsr.options.schema import Options

PATIENCE = 100  # seconds; a run takes two, on a busy machine ten times that
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["qsr.train.run", "torch._dynamo", "numba"])


def write_pictures(root: Path) -> Path:
    """Four training and three validation pictures of 40 x 48, smooth with noise."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:40, 0:48]
    for folder, count in (("train", 4), ("val", 3)):
        for i in range(count):
            wave = np.stack([np.sin(x / (3 + i) + c) * np.cos(y / (4 + c)) for c in range(3)], axis=-1)
            noisy = 127 + 100 * wave + rng.normal(0, 5, wave.shape)
            write_png(root / folder / f"{i}.png", np.clip(noisy, 0, 255).astype(np.uint8))
    return root


def tiny_options(pictures: Path, root: Path, **sections: Any) -> Options:
    """A run of 6 + 10 iterations through all stages; `sections` are merged over its sections, one deep; None drops one."""
    plain: dict[str, Any] = {
        "name": "tiny",
        "scale": 2,
        "device": "cpu",
        "datasets": {
            "train": {"dataroot_gt": str(pictures / "train"), "gt_size": 8, "batch_size_per_gpu": 2},
            "val": {"name": "held-out", "dataroot_gt": str(pictures / "val")},
        },
        "network_g": {"type": "SRResNet", "num_feat": 4, "num_block": 4},
        "quant": {"method": "rlq", "w_bits": 2, "a_bits": 2, "calibration_batches": 2},
        "depth": {"dqa": {"depths": [4, 2, 1], "warmup": 0.3}},
        "path": {"experiments_root": str(root)},
        "train": {"total_iter": 10, "fp_iter": 6, "optim_g": {"lr": 1e-3}, "grad_clip": 1.0},
        "val": {"val_freq": 7, "crops_every": 0},
        "logger": {"print_freq": 1, "save_checkpoint_freq": 4, "use_tb_logger": False, "keep_checkpoints": 2},
    }
    for name, values in sections.items():
        plain[name] = {**plain[name], **values} if isinstance(plain.get(name), dict) and isinstance(values, dict) else values
    plain["datasets"] = {name: values for name, values in plain["datasets"].items() if values is not None}
    if plain["quant"] is None:
        plain["train"]["fp_iter"] = 0
    return from_dict({name: value for name, value in plain.items() if value is not None})


def small_options(pictures: Path, root: Path, **sections: Any) -> Options:
    """Twelve iterations of one quantized network with one block, a checkpoint every fourth, nothing else: a split second."""
    data = {"dataroot_gt": str(pictures / "train"), "gt_size": 8, "batch_size_per_gpu": 1}
    base: dict[str, Any] = {
        "datasets": {"train": data, "val": None},
        "network_g": {"num_feat": 4, "num_block": 1},
        "quant": {"calibration_batches": 1},
        "train": {"fp_iter": 0, "total_iter": 12, "ema_decay": 0.9},
        "depth": None,
        "val": {"val_freq": None},
    }
    for name, values in sections.items():
        base[name] = {**base[name], **values} if isinstance(base.get(name), dict) and isinstance(values, dict) else values
    return tiny_options(pictures, root, **base)


def start(options: Options, environment: dict[str, str] | None = None, **how: Any) -> Any:
    """A process that trains; see `_trainer`. Join it; `exitcode` is what `qsr train` would exit with."""
    process = CONTEXT.Process(target=_trainer, args=(options.to_json(), environment or {}, how))
    process.start()
    return process


def run(options: Options, **how: Any) -> int:
    """Train in a process of its own; the exit code (negative: killed by that signal)."""
    process = start(options, **how)
    process.join(PATIENCE)
    assert process.exitcode is not None, "the run hangs"
    return process.exitcode


def run_ranks(options: Options, world: int, port: int, **how: Any) -> list[int]:
    """`world` processes with the environment that torchrun gives them; their exit codes. how["rank0"]: only for that rank."""
    processes = []
    for rank in range(world):
        variables = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world)}
        variables |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        own = {key: value for key, value in how.items() if not key.startswith("rank")} | how.get(f"rank{rank}", {})
        processes.append(start(options, variables, **own))
    for process in processes:
        process.join(PATIENCE)
        assert process.exitcode is not None, "a rank hangs"
    return [process.exitcode for process in processes]


def _trainer(
    plain: dict[str, Any],
    environment: dict[str, str],
    how: dict[str, Any],
) -> None:
    """how: auto_resume, overwrite for `train`; die_at, signal_at, slow_at (iteration), signals, pause; die_in_fsync (n-th)."""
    os.environ.update(environment)
    import torch

    from qsr.train.job import Job
    from qsr.train.run import train

    faulthandler.dump_traceback_later(PATIENCE - 10, exit=True)  # a run that hangs says where
    torch.set_num_threads(1)
    stepped = Job.stepped

    def watched(self: Job, iteration: int) -> None:
        stepped(self, iteration)
        if iteration == how.get("slow_at"):
            time.sleep(how["pause"])
        if iteration == how.get("die_at"):
            os.kill(os.getpid(), signal.SIGKILL)
        if iteration == how.get("signal_at"):
            for number in how["signals"]:
                os.kill(os.getpid(), number)
                signal.sigtimedwait([], how.get("pause", 0))

    Job.stepped = watched
    if "die_in_fsync" in how:
        os.fsync = _deadly(os.fsync, how["die_in_fsync"])
    lines: list[str] = []
    try:
        train(
            Options.model_validate(plain),
            auto_resume=how.get("auto_resume", False),
            overwrite=how.get("overwrite", False),
            notify=lines.append,
        )
    except QsrError as fault:
        print(fault, file=sys.stderr)
        sys.exit(fault.exit_code)


def _deadly(call: Callable[[int], None], at: int) -> Callable[[int], None]:
    count = 0

    def counted(handle: int) -> None:
        nonlocal count
        count += 1
        if count == at:
            os.kill(os.getpid(), signal.SIGKILL)
        call(handle)

    return counted


def outcome(folder: Path) -> dict[str, Any]:
    """Everything that must not depend on interruptions: tensors of the last checkpoint, its facts, the metrics' rows."""
    last = folder / "checkpoints" / (folder / "checkpoints" / "LATEST").read_text()
    tensors = {
        f"{name}:{key}": (value.dtype.str, value.tobytes())
        for name in ("model", "training")
        for key, value in load_file(last / f"{name}.safetensors").items()
    }
    facts = json.loads((last / "state.json").read_text())
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for row in rows:
        row.pop("time", None)
        row.pop("data_wait", None)
    for name in ("options", "files"):  # both tell where the experiment lies, or hash what does
        facts.pop(name, None)
    return {"tensors": tensors, "facts": facts, "rows": rows}


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Bit for bit, naming what differs."""
    assert one["facts"] == other["facts"]
    assert [key for key, value in one["tensors"].items() if other["tensors"].get(key) != value] == []
    assert one["tensors"].keys() == other["tensors"].keys()
    assert one["rows"] == other["rows"]


def _under_torchrun(plain_file: str, undisturbed: bool) -> None:
    """What a worker does: train and resume; at the first attempt rank 1 dies at iteration 8."""
    first = not undisturbed and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0" and os.environ["RANK"] == "1"
    _trainer(json.loads(Path(plain_file).read_text()), {}, {"auto_resume": True, **({"die_at": 8} if first else {})})


if __name__ == "__main__":
    _under_torchrun(sys.argv[1], undisturbed=len(sys.argv) > 2)
