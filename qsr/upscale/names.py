"""Which files are read, and what each result is called. Names come from file systems: nothing about them is trusted.

    qsr upscale a.png                   a_x2.png beside it
    qsr upscale a.png -o big.webp       that file
    qsr upscale pictures -r -o big      big/.../NAME_x2.png, the tree kept; folders that are links are not followed
    qsr upscale pictures more -o big    big/pictures/..., big/more/...

A result is never an input: `a_x2.png` beside `a.png` is left out, and so is everything in the output folder.
"""

from __future__ import annotations

import glob
import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qsr.errors import DataError, OptionsError

PICTURES = {".png": "png", ".jpg": "jpg", ".jpeg": "jpg", ".webp": "webp", ".tif": "tiff", ".tiff": "tiff"}
"""Suffix -> format, of what can be written; read is BMP too."""
READ = (*PICTURES, ".bmp")
VIDEOS = {".mp4": ".mp4", ".m4v": ".mp4", ".mov": ".mov", ".mkv": ".mkv", ".webm": ".webm", ".avi": ".mkv"}
"""Suffix of a video -> suffix of its result: AVI has no places for frame times."""
FORMATS = {"png": ".png", "jpg": ".jpg", "webp": ".webp", "tiff": ".tif"}
SAME = "same"


@dataclass(frozen=True)
class Job:
    """One file to read and the one to write."""

    source: Path
    target: Path

    @property
    def video(self) -> bool:
        return self.source.suffix.lower() in VIDEOS


@dataclass
class Plan:
    """jobs: in the order of the inputs. faults: (path, why) of what cannot be one. left_out: results of others.

    root: the folder that every target has to lie in, None where they go beside their sources.
    """

    jobs: list[Job] = field(default_factory=list)
    faults: list[tuple[Path, str]] = field(default_factory=list)
    left_out: list[Path] = field(default_factory=list)
    root: Path | None = None


@dataclass(frozen=True)
class Found:
    """An input file and where its result goes below the output folder."""

    path: Path
    below: Path


def printable(text: object) -> str:
    """One line that no file name can break or colour: what is not printable is escaped, as in Python.

    >>> printable("a\\nb")
    'a\\\\nb'
    """
    clean = str(text).encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in clean)


def plan(inputs: Sequence[str], out: str | None, scale: int, wanted: str | None, recursive: bool = False) -> Plan:
    """What to do. wanted: a key of FORMATS, "same", or None (of OUT's suffix, else PNG).

    Raises OptionsError for an OUT that cannot be meant, DataError where there is nothing to do at all.
    """
    if wanted is not None and wanted != SAME and wanted not in FORMATS:
        raise OptionsError(f"--format is {wanted!r}, expected one of {', '.join((*FORMATS, SAME))}")
    made = Plan()
    root = Path(out) if out is not None else None
    found = [one for name in inputs for one in _expand(name, root, recursive, len(inputs) > 1, made)]
    if not found and not made.faults:
        raise DataError("no pictures or videos there", where=printable(" ".join(inputs)), hint="-r looks into folders inside")
    if root is not None and _is_file_name(str(out), inputs, found):
        made.jobs = [Job(found[0].path, root)]
        _check_kind(found[0].path, root, wanted)
        made.root = root.parent
        return _without_own_results(made)
    if root is not None and root.exists() and not root.is_dir():
        raise OptionsError("this is a file, expected a folder for several results", where=printable(root))
    made.root = root
    made.jobs = [
        Job(one.path, (root / one.below if root else one.path).parent / _name(one.path, scale, wanted)) for one in found
    ]
    return _without_own_results(_apart(made, scale, wanted))


def _expand(name: str, root: Path | None, recursive: bool, several: bool, made: Plan) -> Iterator[Found]:
    path = Path(name)
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as fault:
        matches = sorted(glob.glob(name, recursive=True)) if glob.has_magic(name) else []
        if not matches:
            made.faults.append((path, "no such file or folder" if isinstance(fault, FileNotFoundError) else _why(fault)))
        for match in matches:
            if Path(match).is_file() and _readable_kind(Path(match)):
                yield Found(Path(match), Path(Path(match).name))
        return
    if stat.S_ISDIR(mode):
        top = Path(path.resolve().name) if several else Path()
        yield from _walk(path, top, root.resolve() if root is not None and root.exists() else None, recursive, made)
    elif not stat.S_ISREG(mode):
        made.faults.append((path, "not a regular file"))
    elif not _readable_kind(path):
        made.faults.append((path, f"not a kind that is read; those are {', '.join((*READ, *VIDEOS))}"))
    else:
        yield Found(path, Path(path.name))


def _walk(folder: Path, below: Path, avoid: Path | None, recursive: bool, made: Plan) -> Iterator[Found]:
    """Files by name, then folders by name; hidden ones are left out, and folders that are links (they could be loops)."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as fault:
        made.faults.append((folder, _why(fault)))
        return
    for entry in entries:
        path = folder / entry.name
        if not entry.name.startswith(".") and _readable_kind(path) and _regular(entry):
            yield Found(path, below / entry.name)
    for entry in entries if recursive else ():
        path = folder / entry.name
        if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False) and path.resolve() != avoid:
            yield from _walk(path, below / entry.name, avoid, recursive, made)


def _regular(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link that leads to itself
        return False


def _readable_kind(path: Path) -> bool:
    return path.suffix.lower() in READ or path.suffix.lower() in VIDEOS


def _is_file_name(out: str, inputs: Sequence[str], found: Sequence[Found]) -> bool:
    if len(inputs) != 1 or len(found) != 1 or out.endswith("/") or Path(out).is_dir() or Path(inputs[0]).is_dir():
        return False
    return bool(Path(out).suffix)


def _check_kind(source: Path, target: Path, wanted: str | None) -> None:
    suffix = target.suffix.lower()
    video = source.suffix.lower() in VIDEOS
    known = [s for s in VIDEOS if s == VIDEOS[s]] if video else list(PICTURES)
    if suffix not in known:
        raise OptionsError(f"cannot write {suffix} files, expected {', '.join(known)}", where=printable(target))
    if wanted is not None and not video and wanted not in (SAME, PICTURES[suffix]):
        raise OptionsError(f"--format {wanted} and the name {printable(target.name)} contradict each other")


def _name(source: Path, scale: int, wanted: str | None, keep_suffix: bool = False) -> str:
    suffix = source.suffix.lower()
    if suffix in VIDEOS:
        ending = VIDEOS[suffix]
    elif wanted == SAME:
        ending = source.suffix if suffix in PICTURES else FORMATS["png"]
    else:
        ending = FORMATS[wanted or "png"]
    stem = source.name.replace(".", "_") if keep_suffix else source.stem
    return f"{stem}_x{scale}{ending}"


def _apart(made: Plan, scale: int, wanted: str | None) -> Plan:
    """a.png and a.jpg would give one name: those keep their suffix in it (a_png_x2.png, a_jpg_x2.png)."""
    times = Counter(job.target for job in made.jobs)
    made.jobs = list(dict.fromkeys(made.jobs))
    again = Counter(job.target for job in made.jobs)
    apart = [
        Job(job.source, job.target.with_name(_name(job.source, scale, wanted, True))) if again[job.target] > 1 else job
        for job in made.jobs
    ]
    times = Counter(job.target for job in apart)
    for job in apart:
        if times[job.target] > 1:
            made.faults.append((job.source, f"its result would have the same name as another's: {job.target}"))
    made.jobs = [job for job in apart if times[job.target] == 1]
    return made


def _without_own_results(made: Plan) -> Plan:
    """Leave out inputs that are another input's result; whatever would still overwrite an input is a fault."""
    targets = {os.path.realpath(job.target) for job in made.jobs if job.target != job.source}
    made.left_out = [
        job.source for job in made.jobs if os.path.realpath(job.source) in targets - {os.path.realpath(job.target)}
    ]
    left = set(made.left_out)
    made.jobs = [job for job in made.jobs if job.source not in left]
    files = {_identity(job.source) for job in made.jobs} - {None}
    safe = [job for job in made.jobs if _identity(job.target) not in files]
    made.faults += [(job.source, f"its result would overwrite an input: {job.target}") for job in made.jobs if job not in safe]
    made.jobs = safe
    return made


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode: the same file under whatever name (links, or letters whose case the system ignores)."""
    try:
        info = path.stat()
    except OSError:
        return None
    return info.st_dev, info.st_ino


def check_inside(target: Path, root: Path | None) -> None:
    """DataError where a link inside the output folder leads `target` out of it."""
    if root is None:
        return
    home, there = root.resolve(), target.parent.resolve()
    if there != home and home not in there.parents:
        raise DataError(f"a link leads out of the output folder, to {printable(there)}", where=printable(target))


def _why(fault: Exception) -> str:
    return getattr(fault, "strerror", None) or str(fault)
