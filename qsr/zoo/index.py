"""The index of released models: index.json beside the model files. Reading it needs no torch; nothing is downloaded.

A clone has them in experiments/zoo/, a wheel in qsr/zoo/models/ (setup.py copies them there).
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

import qsr
from qsr.errors import EnvironmentFault, FormatError, OptionsError
from qsr.files import write_atomic
from qsr.jsonfile import read_json

FORMAT = 1
INDEX = "index.json"
PACKAGE = Path(qsr.__file__).resolve().parent
CLONE = PACKAGE.parent / "experiments" / "zoo"
WHEEL = PACKAGE / "zoo" / "models"
NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")
Scores = dict[str, dict[str, float]]


@dataclass(frozen=True)
class ZooModel:
    """One released model; plain values.

    file: beside the index. bytes, sha256: of that file. parameters: all of them, one by one; params_k, ops_g: as
    `qsr complexity` counts in mode honest, for a 1280x720 output. scores, bicubic: set -> {"psnr_y", "ssim_y"}, only
    what was measured. packed, packed_bytes, packed_sha256: of the packed file beside it, '' and 0 without one; tail: how
    its tail is stored. ms: one picture of `ms_of` by the packed file, on the machine that made the index, None where it
    was not measured. recipe: lines of text.
    """

    name: str
    file: str
    bytes: int
    sha256: str
    scale: int
    label: str
    backbone: str
    w_bits: int
    a_bits: int
    iterations: int
    weights: str
    data: str
    licence: str
    parameters: int
    params_k: float
    ops_g: float
    protocol: str = ""
    scores: Scores = field(default_factory=dict)
    bicubic: Scores = field(default_factory=dict)
    packed: str = ""
    packed_bytes: int = 0
    packed_sha256: str = ""
    tail: str = ""
    ms: float | None = None
    ms_of: str = ""
    recipe: tuple[str, ...] = ()
    note: str = ""
    made: str = ""
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def gain(self) -> float | None:
        """dB above bicubic, mean over the sets on which both were measured."""
        both = [self.scores[name]["psnr_y"] - self.bicubic[name]["psnr_y"] for name in self.scores if name in self.bicubic]
        return sum(both) / len(both) if both else None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any], where: str) -> ZooModel:
        """Raises FormatError for unknown or missing entries and for names that are no plain file names."""
        known = {entry.name for entry in fields(cls)}
        try:
            if not set(data) <= known:
                raise FormatError(f"unknown entries {sorted(set(data) - known)}", where=where, hint="upgrade qsr")
            model = cls(**{**data, "recipe": tuple(data.get("recipe", ()))})
        except TypeError as fault:
            raise FormatError(f"not an entry of the index: {fault}", where=where) from fault
        for text in (model.name, model.file, *((model.packed,) if model.packed else ())):
            if not isinstance(text, str) or not NAME.fullmatch(text):
                raise FormatError(f"found the name {text!r}, expected small letters, digits, _ . -", where=where)
        return model


def zoo_folder() -> Path:
    """The clone's folder, else the one inside the installed package. EnvironmentFault where neither has an index."""
    for folder in (CLONE, WHEEL):
        if (folder / INDEX).is_file():
            return folder
    raise EnvironmentFault("this installation has no released models", where=str(WHEEL), hint="work from a clone of qsr")


def read_index(folder: Path | None = None) -> tuple[ZooModel, ...]:
    """All models of `folder` (default: zoo_folder()), by scale and name. FormatError if the index is damaged."""
    path = (folder or zoo_folder()) / INDEX
    try:
        data = read_json(path)
    except (OSError, ValueError) as fault:
        raise FormatError(f"not a readable index: {fault}", where=str(path)) from fault
    if not isinstance(data, dict) or data.get("format") != FORMAT or not isinstance(data.get("models"), list):
        raise FormatError(f"not an index of format {FORMAT}", where=str(path), hint="upgrade qsr")
    models = (ZooModel.from_json(entry, str(path)) for entry in data["models"])
    return tuple(sorted(models, key=lambda model: (model.scale, model.name)))


def write_index(folder: Path, models: tuple[ZooModel, ...]) -> None:
    """Replace the folder's index."""
    ordered = sorted(models, key=lambda model: (model.scale, model.name))
    data = {"format": FORMAT, "models": [model.to_json() for model in ordered]}
    write_atomic(folder / INDEX, (json.dumps(data, indent=1, allow_nan=False) + "\n").encode())


def find(name: str, folder: Path | None = None) -> ZooModel:
    """The model called `name`; OptionsError names those that there are."""
    models = read_index(folder)
    for model in models:
        if model.name == name:
            return model
    raise OptionsError(f"no released model {name!r}", hint="there are: " + (", ".join(m.name for m in models) or "none"))


def get(name: str, target: Path | None = None, folder: Path | None = None, *, packed: bool = False) -> Path:
    """Where the model's file is; with `target`, a copy of it there. packed: the file that runs without PyTorch.

    Raises OptionsError for an unknown name, FormatError if the file is not there or its bytes are not those of the index.
    """
    folder = folder or zoo_folder()
    model = find(name, folder)
    file, expected = (model.packed, model.packed_sha256) if packed else (model.file, model.sha256)
    path = folder / file
    if not file or not os.path.isfile(path):  # False too for a name that no file system takes
        raise FormatError(f"the index names {file or 'no packed file'}, which is not there", where=str(folder / name))
    if (found := digest(path)) != expected:
        raise FormatError(f"found sha256 {found[:12]}..., expected {expected[:12]}...", where=str(path), hint="damaged")
    if target is None:
        return path
    target = target / file if target.is_dir() else target
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)
    return target


def digest(path: Path) -> str:
    """SHA-256 of a file, 64 hex digits."""
    return sha256(path.read_bytes()).hexdigest()


def default_model(scale: int, folder: Path | None = None) -> ZooModel:
    """The model of a scale with the most quality per time: dB above bicubic per millisecond, both as measured.

    Models that were not timed are out of the running while there is one that was; without any, the best PSNR wins.
    Raises OptionsError where there is no model of this scale.
    """
    models = read_index(folder)
    fitting = [model for model in models if model.scale == scale]
    if not fitting:
        known = ", ".join(f"x{number}" for number in sorted({model.scale for model in models})) or "none"
        raise OptionsError(f"no released model of scale {scale}", hint=f"there are: {known}")
    timed = [model for model in fitting if model.ms and model.gain is not None]
    if timed:
        return max(timed, key=lambda model: (model.gain or 0.0) / (model.ms or 1.0))
    return max(fitting, key=lambda model: -1e9 if model.gain is None else model.gain)
