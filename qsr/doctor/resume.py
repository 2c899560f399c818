"""A small real training, killed three times and resumed, against one that was left alone: the same bits, or no trust in it.

This runs in a worker of its own that forks a process per run; torch is imported once, before the first fork, and used only
after it. Both trainings write to the same path, one after the other, for checkpoints contain it.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qsr.doctor.check import Finding, fail, ok
from qsr.doctor.storage import scratch
from qsr.doctor.worker import installed

ITERATIONS = re.compile(r"iter:\s*([\d,]+)")
FULL_PRECISION, QUANTIZED, SAVE_EVERY = 4, 6, 3
# in full precision right after a save; between two files of a save in the quantized stage; shortly before the end
KILLS: tuple[dict[str, int], ...] = ({"at": 4}, {"in_save": 2}, {"at": 8})
ADVICE = "do not rely on --auto_resume here; compare the environment with one where this passes, and report it"


def check_resume(folder: Path) -> Finding:
    with scratch(folder) as place:
        pictures = _pictures(place / "pictures")
        _import()
        chosen = options(pictures, place)
        code, said = run(chosen)
        if code != 0:
            return fail(f"a training that nobody disturbs ends with {ended(code, said)}", ADVICE)
        undisturbed = outcome(place / chosen.name)
        shutil.rmtree(place / chosen.name)
        for how in KILLS:
            code, said = run(chosen, resume=True, **how)
            if code != -signal.SIGKILL:
                return fail(f"a training that was to be killed ({how}) ends with {ended(code, said)}", ADVICE)
        code, said = run(chosen, resume=True)
        if code != 0:
            return fail(f"after {len(KILLS)} kills the resumed training ends with {ended(code, said)}", ADVICE)
        different = differences(outcome(place / chosen.name), undisturbed)
    if different:
        found = f"after {len(KILLS)} kills the result differs from an undisturbed training: {', '.join(different[:3])}"
        return fail(found, ADVICE, different=different)
    return ok(f"killed {len(KILLS)} times, once inside a save, and resumed: weights, optimizer and metrics bit for bit")


def _pictures(root: Path) -> Path:
    """Two training pictures and one for validation, 32 x 40."""
    import numpy as np

    from qsr.data.image import write_png

    rows, columns, channels = np.indices((32, 40, 3))
    for number, name in enumerate(("train/0", "train/1", "val/0")):
        waves = rows * (5 + number) + columns * (3 + channels) + rows * columns // (4 + number)
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_png(root / f"{name}.png", (waves % 256).astype(np.uint8))
    return root


def options(pictures: Path, root: Path) -> Any:
    """A tiny network, full precision first, then 2 bits, with averaged weights and a validation."""
    from qsr.options import from_dict

    return from_dict(
        {
            "name": "drill",
            "scale": 2,
            "device": "cpu",
            "datasets": {
                "train": {"dataroot_gt": str(pictures / "train"), "gt_size": 8, "batch_size_per_gpu": 2},
                "val": {"name": "held-out", "dataroot_gt": str(pictures / "val")},
            },
            "network_g": {"type": "SRResNet", "num_feat": 4, "num_block": 2},
            "quant": {"method": "rlq", "w_bits": 2, "a_bits": 2, "calibration_batches": 1},
            "path": {"experiments_root": str(root)},
            "train": {"total_iter": QUANTIZED, "fp_iter": FULL_PRECISION, "optim_g": {"lr": 1e-3}, "ema_decay": 0.9},
            "val": {"val_freq": QUANTIZED, "crops_every": 0},
            "logger": {"print_freq": 1, "save_checkpoint_freq": SAVE_EVERY, "use_tb_logger": False, "keep_checkpoints": 2},
        }
    )


def _import() -> None:
    """Everything that a run imports, so that the forked processes find it there; numba does much of it at its first call."""
    import numpy as np

    from qsr.data.resize import degrade

    for name in ("qsr.train.run", "torch._dynamo", "numba"):
        if installed(name):
            importlib.import_module(name)
    degrade(np.zeros((8, 8, 3), np.uint8), 2)


# --- one run --------------------------------------------------------------------------------------------------------------
def run(chosen: Any, resume: bool = False, at: int = 0, in_save: int = 0) -> tuple[int, str]:
    """Train in a forked process: (exit code, negative for a signal; what it said about its end).

    at: SIGKILL to itself after that iteration. in_save: at that fsync inside an unfinished checkpoint.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reader)
            code = _train(chosen, resume, at, in_save)
        except BaseException as fault:  # whatever it is, the forked process must not go on with its parent's work
            os.write(writer, f"{type(fault).__name__}: {fault}\n{traceback.format_exc()}".encode())
        finally:
            os._exit(code)
    os.close(writer)
    with open(reader, encoding="utf-8", errors="replace") as said:
        text = said.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text


def _train(chosen: Any, resume: bool, at: int, in_save: int) -> int:
    import torch

    from qsr.train.run import train

    torch.set_num_threads(1)
    if in_save:
        os.fsync = deadly(os.fsync, in_save)  # type: ignore[assignment]  # only this process, which is to die

    def hear(line: str) -> None:
        match = ITERATIONS.search(line)
        if at and match and int(match[1].replace(",", "")) >= at:
            os.kill(os.getpid(), signal.SIGKILL)

    train(chosen, auto_resume=resume, notify=hear)
    return 0


def deadly(fsync: Callable[[int], None], at: int) -> Callable[[int], None]:
    """An fsync that kills its process at the n-th file of an unfinished checkpoint."""
    count = 0

    def counted(handle: int) -> None:
        nonlocal count
        if "/checkpoints/." in os.readlink(f"/proc/self/fd/{handle}"):
            count += 1
            if count == at:
                os.kill(os.getpid(), signal.SIGKILL)
        fsync(handle)

    return counted


def ended(code: int, said: str) -> str:
    """`exit code 1 (NumericalError: ...)`, `SIGSEGV`."""
    name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return f"{name} ({said.splitlines()[0]})" if said else name


# --- what must not depend on it -------------------------------------------------------------------------------------------
def outcome(folder: Path) -> dict[str, Any]:
    """Name -> value of everything that interruptions must not change: tensors, the checkpoint's facts, rows of metrics."""
    from safetensors.numpy import load_file

    last = folder / "checkpoints" / (folder / "checkpoints" / "LATEST").read_text().strip()
    found: dict[str, Any] = {}
    for name in ("model", "training"):
        for key, value in load_file(last / f"{name}.safetensors").items():
            found[f"{name}: {key}"] = (value.dtype.str, value.shape, value.tobytes())
    for key, value in json.loads((last / "state.json").read_text()).items():
        found[f"state: {key}"] = value
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        timeless = {key: value for key, value in row.items() if key not in ("time", "data_wait")}
        found.setdefault(f"metrics of iteration {row['iter']}", []).append(timeless)
    return found


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Names of what is not in both, or not equal."""
    return [
        name for name in sorted(one.keys() | other.keys()) if name not in one or name not in other or one[name] != other[name]
    ]
