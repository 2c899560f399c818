"""What is measured of trained networks, in cells: one file each, made once, made again when what it depends on has changed.

    robust  one network under all corruptions        (robust.py)
    train   seconds of a training step, beside the full-precision twin's   (speed.py)
    infer   milliseconds and bytes of the packed file, beside the twin's   (infer.py)

A cell names the experiments that it is about; its key is a hash over their model files, the settings and the code. Robust
cells may run anywhere and at the same time; the other two are times and have the machine to themselves (run.py).
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

from qsr.bibench.rows import TWIN, Network, Work
from qsr.errors import FormatError, OptionsError
from qsr.files import write_atomic
from qsr.jsonfile import read_json
from qsr.leaderboard.identity import code_version, methods_of, source_version

FORMAT = 1
Kind = Literal["robust", "train", "infer"]
TIMED: tuple[Kind, ...] = ("train", "infer")
BICUBIC = "bicubic"
# rooms, and single modules, whose code decides a cell's values; of the quantizers the network's own
ROOMS: dict[Kind, tuple[str, ...]] = {
    "robust": ("archs", "quant", "data", "evaluate"),
    "train": ("archs", "quant", "data", "train"),
    "infer": ("export", "runtime", "bench"),
}
MODULES: dict[Kind, tuple[str, ...]] = {
    "robust": ("bibench.robust", "data.corrupt", "data.noise", "data.blur"),
    "train": ("bibench.speed",),
    "infer": ("bibench.infer",),
}


@dataclass(frozen=True)
class Cell:
    """name: `bnn_cnn_x2_s0`. model, twin: experiments; empty for bicubic, and where the cell has no twin.

    settings: plain values that decide what is measured. methods: quantizers of the network. folder: of the benchmark.
    """

    kind: Kind
    name: str
    folder: Path
    model: str
    twin: str
    scale: int
    settings: Mapping[str, Any]
    methods: tuple[str, ...] = ()

    @property
    def file(self) -> Path:
        return self.folder / "cells" / self.kind / f"{self.name}.json"

    @property
    def title(self) -> str:
        return f"{self.kind}/{self.name}"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "folder": str(self.folder)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Cell:
        return cls(**{**data, "folder": Path(data["folder"]), "methods": tuple(data["methods"])})


def cells(work: Work, kind: Kind) -> list[Cell]:
    """All cells of one kind, whether their networks are trained or not."""
    return list(_made(work, kind))


def _made(work: Work, kind: Kind) -> Iterator[Cell]:
    bench = work.bench
    if kind == "robust":
        settings = bench.robust.model_dump(mode="json") | {"sets": list(bench.robust_sets)}
        settings |= {"data_root": _root(work), "pictures": list(bench.pictures)}
        for scale in bench.scales:
            yield Cell(kind, f"{BICUBIC}_x{scale}", work.out, "", "", scale, settings)
    elif kind == "train":
        settings = bench.training.model_dump(mode="json", exclude={"grid"})
    else:
        settings = bench.inference.model_dump(mode="json")
    for network in work.networks():
        first = network.seed == bench.seeds[0]
        if not _wanted(work, network) or (kind != "robust" and (network.operator == TWIN or not first)):
            continue  # one seed's time is another's
        if kind == "train" and network.scale != bench.scales[0]:
            continue
        twin = str(work.task(network.twin).folder) if kind != "robust" else ""
        task = work.task(network)
        yield Cell(kind, network.name, work.out, str(task.folder), twin, network.scale, settings, methods_of(task.options))


def _wanted(work: Work, network: Network) -> bool:
    plan = work.plans.get(f"x{network.scale}")
    return plan is not None and f"{network.row}_s{network.seed}" in plan.chosen


def _root(work: Work) -> str | None:
    return str(work.data_root.absolute()) if work.data_root else None


def key(cell: Cell) -> str:
    """12 hex digits over everything that the cell's values depend on."""
    digest = blake2b(digest_size=6)
    digest.update(json.dumps([cell.kind, cell.scale, dict(cell.settings)], sort_keys=True).encode())
    for folder in (cell.model, cell.twin):
        file = _model_file(folder) if folder else None
        digest.update(file.read_bytes() if file else b"-")
    digest.update(code_version(cell.methods, ROOMS[cell.kind]).encode())
    digest.update(source_version(MODULES[cell.kind]).encode())
    return digest.hexdigest()


def _model_file(folder: str) -> Path | None:
    from qsr.archs.modelfile import find_model

    try:
        return find_model(Path(folder))
    except (FormatError, OptionsError):
        return None


def read(cell: Cell) -> dict[str, Any] | None:
    """The cell's file, or None. Raises FormatError for a damaged one."""
    if not cell.file.is_file():
        return None
    try:
        found = read_json(cell.file)
        if found["format"] != FORMAT:
            raise FormatError(f"cell of format {found['format']}, this qsr reads {FORMAT}", where=str(cell.file))
        dict(found["values"])
    except (ValueError, KeyError, TypeError) as fault:
        raise FormatError(f"not a cell ({fault})", where=str(cell.file), hint="remove it") from fault
    result: dict[str, Any] = found
    return result


def finished(cell: Cell, any_code: bool = False) -> bool:
    """Whether the cell's file is there and holds for what there is now. any_code: made by whatever code, of whatever model."""
    found = read(cell)
    return found is not None and (any_code or found["key"] == key(cell))


def measure(cell: Cell) -> dict[str, Any]:
    """The cell's values, measured now. Raises as loading and exporting do."""
    if cell.kind == "robust":
        from qsr.bibench import robust

        return robust.measure(cell)
    if cell.kind == "train":
        from qsr.bibench import speed

        return speed.measure(cell)
    from qsr.bibench import infer

    return infer.measure(cell)


def perform(cell: Cell, command: str) -> dict[str, Any]:
    """Measure and store; returns what is stored. command: what makes this cell again."""
    from qsr.leaderboard.collect import machine, package_versions

    began, made_of = time.monotonic(), key(cell)
    values = measure(cell)
    body = {
        "format": FORMAT,
        "cell": cell.title,
        "key": made_of,
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": round(time.monotonic() - began, 1),
        "machine": machine(),
        "versions": package_versions(),
        "command": command,
        "values": values,
    }
    write_atomic(cell.file, json.dumps(body, indent=1, allow_nan=False).encode())
    return body


def command(work: Work, cell: Cell) -> str:
    """What makes this one cell again, as a line for the shell."""
    words = ["qsr", "bibench", "-opt", str(work.source), "-o", str(work.out)]
    words += ["--data-root", str(work.data_root)] if work.data_root else []
    return shlex.join([*words, "--cell", cell.title])
