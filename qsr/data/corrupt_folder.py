"""`qsr data corrupt`: a folder of LR pictures in all kinds and severities, as OUT/KIND/SEVERITY/NAME.png.

OUT appears when all of it is written. OUT/corrupt.json says how it came about, with a hash of every picture's pixels:
PNG files of the same pixels differ between versions of zlib.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, features

from qsr import __version__
from qsr.data.corrupt import KINDS, SETTINGS, SEVERITIES, Table, corrupt, setting
from qsr.data.image import list_pictures, read_rgb, write_png
from qsr.data.manifest import digest
from qsr.data.prepare import Notify, in_threads, silent
from qsr.data.staging import refuse_existing, staged_folder
from qsr.data.store import unique_stems
from qsr.errors import DataError, OptionsError
from qsr.files import write_atomic

REPORT_NAME = "corrupt.json"
REPORT_FORMAT = 1


def corrupt_folder(
    source: Path,
    target: Path,
    kinds: Sequence[str] = KINDS,
    severities: Sequence[int] = SEVERITIES,
    *,
    table: Table = "cifar",
    seed: int = 0,
    notify: Notify = silent,
) -> int:
    """Write every picture of `source` in `kinds` x `severities` to the new folder `target`; returns how many were written.

    Raises OptionsError for an unknown kind, severity or table, DataError for a bad picture or a target that is there.
    """
    chosen = [(kind, severity) for kind in dict.fromkeys(kinds) for severity in dict.fromkeys(severities)]
    for kind, severity in chosen:
        setting(kind, severity, table)
    if not chosen:
        raise OptionsError("no corruption is chosen", hint=f"kinds: {', '.join(KINDS)}; severities: 1, 2, 3, 4, 5")
    refuse_existing(target)  # before the pictures are read
    pictures = list_pictures(source)
    if not pictures:
        raise DataError("holds no pictures", where=str(source))
    jobs = list(zip(pictures, unique_stems(pictures)))

    with staged_folder(target) as staging:

        def work(job: tuple[Path, str]) -> dict[str, str]:
            path, name = job
            picture = read_rgb(path)
            hashes = {}
            for kind, severity in chosen:
                try:
                    made = corrupt(picture, kind, severity, seed=seed, name=name, table=table)
                except DataError as fault:
                    raise DataError(fault.message, where=str(path), hint=fault.hint) from fault
                place = f"{kind}/{severity}/{name}.png"
                write_png(staging / place, made)
                hashes[place] = digest(made.tobytes())
            return hashes

        hashes = {place: text for found in in_threads(work, jobs, notify) for place, text in found.items()}
        report = {
            "format": REPORT_FORMAT,
            "seed": seed,
            "table": table,
            "settings": {kind: {s: SETTINGS[table][kind][s - 1] for k, s in chosen if k == kind} for kind, _ in chosen},
            "versions": _versions(),
            "pixels_blake2b": dict(sorted(hashes.items())),
        }
        write_atomic(staging / REPORT_NAME, (json.dumps(report, indent=1) + "\n").encode())
    return len(hashes)


def _versions() -> dict[str, str | None]:
    return {
        "qsr": __version__,
        "numpy": np.__version__,
        "pillow": Image.__version__,
        "libjpeg": features.version("libjpeg_turbo") or features.version("jpg"),
    }
