"""What a checkpoint holds, and how it comes back: everything that the next iteration depends on.

    model.safetensors     the network to ship (averaged weights), self-describing: archs.modelfile
    training.safetensors  raw/<name>, ema/<name>, optim/<name>|<slot>, rng/cpu and rng/cuda (one row per rank)
    state.json            iteration, stage, best results, options, versions; hashes of the two others

The data position is the iteration itself (samples are numbered), the learning rate is a function of it; neither is
stored. Only torch's generators are: nothing here draws from Python's or NumPy's global ones.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

import qsr
from qsr.archs.modelfile import ModelInfo, save_model
from qsr.errors import FormatError
from qsr.files import write_synced
from qsr.options.schema import Options
from qsr.train import optim
from qsr.train.checkpoint import OtherVersion, digest
from qsr.train.distributed import Team
from qsr.train.stages import Stage
from qsr.train.trainee import Trainee

VERSION = 1
_TENSOR_FILES = ("model.safetensors", "training.safetensors")
_KINDS: dict[str, type] = {"iteration": int, "stage": str, "world": int, "options": dict}
"""Entries of state.json that are read before anything else."""


@dataclass
class Position:
    """How far a run is. `validated`: iteration of the last validation; `results`: its sets; `best`: the best mean PSNR.

    skipped, rewinds: how often NaN or Inf made it pass over a batch, or go back and take other data (recovery.py).
    """

    iteration: int = 0
    stage: str = ""
    validated: int = 0
    validations: int = 0
    best: dict[str, Any] | None = None
    results: list[dict[str, Any]] = field(default_factory=list)
    skipped: int = 0
    rewinds: int = 0


def random_state(team: Team) -> dict[str, Tensor]:
    """Generator states of all ranks, one row each. A collective: every rank calls it."""
    rows = {"rng/cpu": torch.stack(team.gather_tensor(torch.get_rng_state()))}
    if team.device.type == "cuda":
        rows["rng/cuda"] = torch.stack(team.gather_tensor(torch.cuda.get_rng_state(team.device)))
    return rows


def write_files(
    folder: Path, trainee: Trainee, stage: Stage, position: Position, options: Options, generators: dict[str, Tensor]
) -> None:
    """Put the three files into `folder`, each synced."""
    save_model(folder / "model.safetensors", trainee.shipped_state(), model_info(trainee, stage, position))
    tensors = {f"raw/{name}": value for name, value in trainee.network.state_dict().items()}
    if trainee.ema is not None:
        tensors |= {f"ema/{name}": value for name, value in trainee.ema.shadow.items()}
    tensors |= {f"optim/{name}": value for name, value in optim.state(trainee.optimiser).items()}
    tensors |= generators
    write_synced(folder / "training.safetensors", save({name: value.cpu().contiguous() for name, value in tensors.items()}))
    made_by = {"world": len(generators["rng/cpu"]), "options": options.to_json(), **versions()}
    files = {name: digest(folder / name) for name in _TENSOR_FILES}
    facts = {"version": VERSION, **asdict(position), **made_by, "files": files}
    write_synced(folder / "state.json", json.dumps(facts, indent=1).encode())


def model_info(trainee: Trainee, stage: Stage, position: Position) -> ModelInfo:
    """The self-description of the network as it is now."""
    return ModelInfo(
        options=stage.options.to_json(),
        layers=trainee.report.to_json(),
        iteration=position.iteration,
        weights="ema" if trainee.ema else "raw",
        metrics={"results": position.results, "best": position.best},
        versions=versions()["versions"],
        extra={"stage": stage.name},
    )


def versions() -> dict[str, dict[str, str]]:
    return {"versions": {"qsr": qsr.__version__, "torch": torch.__version__, "safetensors": safetensors.__version__}}


def read_facts(folder: Path) -> dict[str, Any]:
    """state.json of a verified checkpoint; FormatError if a later version wrote it, or none."""
    file = folder / "state.json"
    try:
        facts: dict[str, Any] = json.loads(file.read_bytes())
        version = facts["version"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as fault:
        raise FormatError(f"not the state of a training ({fault})", where=str(file)) from fault
    if version != VERSION:
        message = f"checkpoint of version {version}, this qsr reads {VERSION}"
        raise OtherVersion(message, where=str(folder), hint="upgrade qsr")
    for name, kind in _KINDS.items():
        if not isinstance(facts.get(name), kind):
            raise FormatError(f"{name} is {str(facts.get(name))[:60]!r}, expected {kind.__name__}", where=str(file))
    return facts


def check(folder: Path) -> None:
    """Raises FormatError unless one save wrote all files of a verified checkpoint, at the iteration that names the folder.

    A manifest says that files are whole. One that was made afterwards says so of files from two saves, too: going on from
    them would be another training that nobody notices.
    """
    facts = read_facts(folder)
    if folder.name.isdecimal() and int(folder.name) != facts["iteration"]:
        raise FormatError(f"holds iteration {facts['iteration']}", where=str(folder))
    listed = facts.get("files", {})  # absent in what qsr wrote before it listed them
    if not isinstance(listed, dict):
        raise FormatError(f"files is {str(listed)[:60]!r}, expected hashes by name", where=str(folder / "state.json"))
    for name in _TENSOR_FILES:
        if not (folder / name).is_file():
            raise FormatError("missing", where=str(folder / name))
        if name in listed and listed[name] != digest(folder / name):
            raise FormatError("is not the one that state.json was saved with", where=str(folder / name))


def position_of(facts: dict[str, Any]) -> Position:
    """Entries that an older qsr did not write are as at the beginning of a run."""
    return Position(**{name: facts[name] for name in Position.__dataclass_fields__ if name in facts})


def restore(folder: Path, trainee: Trainee, team: Team) -> None:
    """Fill weights, averages, optimiser and random generators from a verified checkpoint, bit for bit.

    With another number of ranks than the checkpoint's, generators of missing rows stay as they are.
    """
    try:
        saved = _split(load_file(folder / "training.safetensors"))
        optim.load(trainee.optimiser, saved["optim"])
        generators = saved["rng"]
        rows = len(generators["cpu"])
    except (SafetensorError, KeyError, RuntimeError) as fault:
        raise FormatError(f"not the tensors of this training ({fault})", where=str(folder)) from fault
    _copy(trainee.network.state_dict(), saved["raw"], folder)
    if trainee.ema is not None:
        _copy(trainee.ema.shadow, saved["ema"], folder)
    if team.rank < rows:
        torch.set_rng_state(generators["cpu"][team.rank].clone())
        if team.device.type == "cuda" and "cuda" in generators:
            torch.cuda.set_rng_state(generators["cuda"][team.rank].clone(), team.device)


def _split(tensors: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    parts: dict[str, dict[str, Tensor]] = {"raw": {}, "ema": {}, "optim": {}, "rng": {}}
    for key, value in tensors.items():
        part, _, name = key.partition("/")
        parts[part][name] = value
    return parts


@torch.no_grad()
def _copy(targets: dict[str, Tensor], saved: dict[str, Tensor], folder: Path) -> None:
    if set(targets) != set(saved):
        odd = sorted(set(targets) ^ set(saved))
        raise FormatError(f"tensors do not match the network: {', '.join(odd[:5])}", where=str(folder))
    for name, target in targets.items():
        if saved[name].shape != target.shape:
            message = f"{name} has the shape {tuple(saved[name].shape)}, the network's is {tuple(target.shape)}"
            raise FormatError(message, where=str(folder))
        target.copy_(saved[name])
