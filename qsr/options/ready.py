"""Where the ready-made option files are: `options/` of the current folder, else of the clone that qsr was installed from, else
the copy inside a wheel (setup.py puts it there)."""

from __future__ import annotations

from pathlib import Path

import qsr
from qsr.errors import OptionsError


def ready_file(name: str) -> Path:
    """Path of `options/<name>`; raises OptionsError where none of the three places has it."""
    package = Path(qsr.__file__).resolve().parent
    here = Path("options") / name
    for candidate in (here, package.parent / "options" / name, package / "options" / "files" / name):
        if candidate.is_file():
            return candidate
    raise OptionsError(
        f"no ready-made option file {name}",
        where=str(here),
        hint="run from a clone of qsr, or name a file with -opt",
    )
