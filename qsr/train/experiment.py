"""The folder of an experiment: may this run write there, and where does it go on?

A folder that holds a run is never renamed and never silently continued: --auto_resume continues, --overwrite starts
again, anything else is refused with that advice.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import yaml

from qsr.errors import FormatError, OptionsError
from qsr.files import write_atomic
from qsr.options import from_json, harmless_diff, semantic_diff
from qsr.options.schema import Options
from qsr.train import checkpoint, state

_FOLDERS = ("checkpoints", "models", "visualization", "numerical", "tb_logger")
OWN = (*_FOLDERS, "options.yml", "options.json", "metrics.jsonl", "train.log")
"""What a run writes, and all that --overwrite removes."""


_LONGEST = Path("checkpoints", ".1000000000.tmp-4194304", "training.safetensors")
"""No path that a run writes below its folder is longer."""


def folder_of(options: Options) -> Path:
    """Raises OptionsError for a path in which the system could not create every file: the first save would be too late."""
    folder = Path(options.path.experiments_root) / options.name
    if any(0xDC80 <= ord(letter) <= 0xDCFF for letter in str(folder)):
        raise OptionsError("the path holds bytes that are no text", where=ascii(str(folder))[:80], hint="choose another folder")
    most, longest = os.pathconf("/", "PC_PATH_MAX") - 1, len(os.fsencode(folder / _LONGEST))
    if longest > most:
        raise OptionsError(
            f"path too long: files in it need {longest:,} bytes, this system takes {most:,}",
            where=f"{str(folder)[:80]}...",
            hint="shorten name or path.experiments_root",
        )
    most = os.pathconf("/", "PC_NAME_MAX")
    for part in folder.parts:
        if len(os.fsencode(part)) > most:
            raise OptionsError(
                f"name too long: {len(os.fsencode(part)):,} bytes, this system takes {most:,}",
                where=f"{part[:80]}...",
                hint="shorten name or path.experiments_root",
            )
    return folder


def prepare(options: Options, auto_resume: bool, overwrite: bool, say: Callable[[str], None]) -> Path | None:
    """Make the folder ready (its lock is held) and return the checkpoint to resume from, None for a fresh start.

    Raises OptionsError if the folder holds a run and neither flag is given, if both are, or if options that matter differ
    from the checkpoint's; FormatError if no checkpoint is intact.
    """
    folder = folder_of(options)
    if auto_resume and overwrite:
        raise OptionsError("--auto_resume and --overwrite contradict each other", hint="give one of them")
    if overwrite:
        _clear(folder)
    found = _resume_point(options, folder, auto_resume, say)
    if found is not None:
        refuse_drift(found, options, say)
    plain = options.to_json()
    write_atomic(folder / "options.json", json.dumps(plain, indent=1).encode())
    write_atomic(folder / "options.yml", yaml.safe_dump(plain, sort_keys=False, allow_unicode=True).encode())
    return found


def refuse_drift(found: Path, options: Options, say: Callable[[str], None]) -> None:
    """Raises OptionsError with one line per changed option that would make the resumed run another experiment.

    Other changes are told through `say`.
    """
    before = from_json(state.read_facts(found)["options"])
    changes = semantic_diff(before, options)
    if changes:
        raise OptionsError(
            "resume refused: the options differ from the checkpoint's",
            where=str(found),
            hint="undo the changes, choose another name, or start again with --overwrite",
            problems=tuple(changes),
        )
    for change in harmless_diff(before, options):
        say(f"changed since the checkpoint: {change}")


def _resume_point(options: Options, folder: Path, auto_resume: bool, say: Callable[[str], None]) -> Path | None:
    if options.path.resume_state:
        chosen = Path(options.path.resume_state)
        if not chosen.is_dir():
            hint = "path.resume_state names checkpoints/<iteration>"
            raise FormatError("no such checkpoint folder", where=str(chosen), hint=hint)
        checkpoint.verify(chosen)
        state.check(chosen)
        return chosen
    if auto_resume:
        return checkpoint.newest(folder / "checkpoints", say, state.check)
    if any((folder / name).exists() for name in OWN):
        raise OptionsError(
            "this experiment exists already",
            where=str(folder),
            hint="--auto_resume continues it, --overwrite starts it again, another name keeps both",
        )
    return None


def _clear(folder: Path) -> None:
    for name in OWN:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
