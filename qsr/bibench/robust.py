"""The robustness track: one network on pictures whose LR was corrupted; HR and protocol stay (docs/protocol.md).

All networks see the same corrupted pictures: the noise depends on picture, kind and severity alone (data/corrupt.py).
"""

from __future__ import annotations

import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

from qsr.bibench.cells import Cell
from qsr.data.benchmark import BenchmarkSet, open_set
from qsr.data.corrupt import Table, corrupt
from qsr.data.image import write_png
from qsr.data.pairs import Pair
from qsr.evaluate.benchmark import evaluate_set
from qsr.evaluate.subject import HowToRun, Subject, bicubic, trained

SHOWN = 3  # severity of the pictures that are kept


class Corrupted(BenchmarkSet):
    """A set with its LR pictures corrupted."""

    def __init__(self, whole: BenchmarkSet, kind: str, severity: int, seed: int, table: Table) -> None:
        super().__init__(whole.name, whole.pairs)
        self._whole, self._how = whole, (kind, severity, seed, table)

    def pair(self, i: int) -> Pair:
        pair = self._whole.pair(i)
        kind, severity, seed, table = self._how
        return replace(pair, lr=corrupt(pair.lr, kind, severity, seed=seed, name=pair.name, table=table))


def measure(cell: Cell) -> dict[str, Any]:
    """Mean PSNR_Y (dB) over all pictures of the sets: `clean`, and `corrupted` by kind, one value per severity.

    `sets` has the same set by set; `pictures`: files that were kept, of each kind at severity 3.
    """
    settings = cell.settings
    kinds, severities = settings["kinds"], settings["severities"]
    subject = trained(Path(cell.model), HowToRun()) if cell.model else bicubic((cell.scale,))
    sets = [open_set(name, cell.scale, settings["data_root"]) for name in settings["sets"]]
    by_set: dict[str, Any] = {}
    for one in sets:
        corrupted = {kind: [_psnr(subject, _corrupted(cell, one, kind, level)) for level in severities] for kind in kinds}
        by_set[one.name] = {"clean": _psnr(subject, one), "corrupted": corrupted, "pictures": len(one)}
    return {
        "clean": _mean([(found["clean"], found["pictures"]) for found in by_set.values()]),
        "corrupted": {
            kind: [
                _mean([(found["corrupted"][kind][place], found["pictures"]) for found in by_set.values()])
                for place in range(len(severities))
            ]
            for kind in kinds
        },
        "severities": severities,
        "sets": by_set,
        "pictures": _keep(cell, subject, sets),
    }


def _corrupted(cell: Cell, one: BenchmarkSet, kind: str, severity: int) -> Corrupted:
    return Corrupted(one, kind, severity, cell.settings["seed"], cell.settings["table"])


def _psnr(subject: Subject, one: BenchmarkSet) -> float:
    protocol = subject.protocols[0]
    return float(evaluate_set(subject.upscaler(protocol.scale), one, protocol).psnr_y)


def _mean(parts: list[tuple[float, int]]) -> float:
    """Of values with the number of pictures behind each."""
    return statistics.fmean([value for value, _ in parts], [weight for _, weight in parts])


def _keep(cell: Cell, subject: Subject, sets: list[BenchmarkSet]) -> dict[str, dict[str, str]]:
    """SET/PICTURE -> kind (or `clean`) -> file of what the network makes of it, relative to the benchmark's folder.

    Bicubic's cell also keeps the LR pictures themselves, as `lr_<kind>`.
    """
    settings = cell.settings
    kept: dict[str, dict[str, str]] = {}
    upscaler = subject.upscaler(subject.protocols[0].scale)
    for one in sets:
        wanted = {picture.partition("/")[2] for picture in settings["pictures"] if picture.partition("/")[0] == one.name}
        for i, picture in enumerate(one.images):
            if picture not in wanted:
                continue
            files = kept.setdefault(f"{one.name}/{picture}", {})
            for kind in ("clean", *settings["kinds"]):
                shown = one if kind == "clean" else _corrupted(cell, one, kind, SHOWN)
                lr = shown.pair(i).lr
                made = [(kind, upscaler(lr))] + ([(f"lr_{kind}", lr)] if not cell.model else [])
                for name, pixels in made:
                    files[name] = f"pictures/robust/{cell.name}/{one.name}_{picture}_{name}.png"
                    write_png(cell.folder / files[name], pixels)
    return kept
