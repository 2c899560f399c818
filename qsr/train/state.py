"""What a checkpoint holds, and how it comes back: everything that the next iteration depends on.

    model.safetensors     the network to ship (averaged weights), self-describing: archs.modelfile
    training.safetensors  raw/<name>, ema/<name>, optim/<name>|<slot>, rng/cpu and rng/cuda (one row per rank)
    state.json            iteration, stage, best results, options, versions

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
from safetensors.torch import load_file, save
from torch import Tensor

import qsr
from qsr.archs.modelfile import ModelInfo, save_model
from qsr.errors import FormatError
from qsr.files import write_synced
from qsr.options.schema import Options
from qsr.train import optim
from qsr.train.distributed import Team
from qsr.train.stages import Stage
from qsr.train.trainee import Trainee

VERSION = 1


@dataclass
class Position:
    """How far a run is. `validated`: iteration of the last validation; `results`: its sets; `best`: the best mean PSNR."""

    iteration: int = 0
    stage: str = ""
    validated: int = 0
    validations: int = 0
    best: dict[str, Any] | None = None
    results: list[dict[str, Any]] = field(default_factory=list)


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
    facts = {"version": VERSION, **asdict(position), **made_by}
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
    """state.json of a verified checkpoint; FormatError if a later version wrote it."""
    facts: dict[str, Any] = json.loads((folder / "state.json").read_bytes())
    if facts["version"] != VERSION:
        message = f"checkpoint of version {facts['version']}, this qsr reads {VERSION}"
        raise FormatError(message, where=str(folder), hint="upgrade qsr")
    return facts


def position_of(facts: dict[str, Any]) -> Position:
    return Position(**{name: facts[name] for name in Position.__dataclass_fields__})


def restore(folder: Path, trainee: Trainee, team: Team) -> None:
    """Fill weights, averages, optimiser and random generators from a verified checkpoint, bit for bit.

    With another number of ranks than the checkpoint's, generators of missing rows stay as they are.
    """
    saved = _split(load_file(folder / "training.safetensors"))
    _copy(trainee.network.state_dict(), saved["raw"], folder)
    if trainee.ema is not None:
        _copy(trainee.ema.shadow, saved["ema"], folder)
    optim.load(trainee.optimiser, saved["optim"])
    generators = saved["rng"]
    if team.rank < len(generators["cpu"]):
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
        target.copy_(saved[name])
