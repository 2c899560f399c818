"""Where the ready-made option files are: `options/` of the current folder, or of the clone that qsr was installed from."""

from __future__ import annotations

from pathlib import Path

import qsr
from qsr.errors import OptionsError


def ready_file(name: str) -> Path:
    """Path of `options/<name>`; raises OptionsError where neither place has it."""
    here = Path("options") / name
    clone = Path(qsr.__file__).resolve().parent.parent / "options" / name
    for candidate in (here, clone):
        if candidate.is_file():
            return candidate
    raise OptionsError(
        f"no ready-made option file {name}",
        where=str(here),
        hint="run from a clone of qsr, or name a file with -opt",
    )
