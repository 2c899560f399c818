"""`qsr data add`: a downloaded archive or folder becomes datasets/NAME/HR, verified against the set's card.

Nothing is downloaded. The source is left alone; the set appears at once when everything in it was found good.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from qsr.data.archive import pictures_in, safe_path
from qsr.data.cards import Card, find_card, known_names
from qsr.data.check import SCALES, check_set
from qsr.data.image import list_pictures
from qsr.data.layout import find_hr, find_lr
from qsr.data.manifest import digest
from qsr.data.photos import write_photos
from qsr.data.prepare import Notify, silent
from qsr.data.staging import refuse_existing, staged_folder
from qsr.errors import DataError
from qsr.files import storage_fault


@dataclass(frozen=True, slots=True)
class Added:
    """The new folder, its pictures, the scales whose LR the source shipped, and remarks for the user."""

    folder: Path
    pictures: int
    lr_scales: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


def add_set(name: str, source: Path, data_root: Path = Path("datasets"), notify: Notify = silent) -> Added:
    """Unpack `source` (zip, tar or folder) into `data_root`/NAME/HR and LR_bicubic/X2..X4, decode and count everything.

    `name` is a card's name or alias, or a new name, for which nothing is known to verify. Raises DataError for a
    hostile archive, a damaged picture, a wrong number of pictures or a set that is there already.
    """
    card = find_card(name)
    if card is None and (len(safe_path(name, source).parts) != 1 or name.startswith(".")):
        raise DataError(f"{name!r} is no name for a set", hint=f"known sets: {known_names()}")
    target = data_root / (card.name if card else name)
    refuse_existing(target)
    with staged_folder(target) as staging:
        unpacked = staging / ".unpacked"  # inside, so that moving is a rename and nothing is left when it fails
        _unpack(source, unpacked, card.picks if card else ())
        root = _set_root(unpacked, card)
        hr = _hr_pictures(root, card, source)
        _move(hr, staging / "HR", [path.name for path in hr])
        names = [path.stem for path in hr]
        scales = []
        for scale in SCALES:
            lr = find_lr(root, scale, names)
            if lr is not None:
                _move(lr, staging / "LR_bicubic" / f"X{scale}", [f"{n}x{scale}{p.suffix}" for n, p in zip(names, lr)])
                scales.append(scale)
        shutil.rmtree(unpacked)
        report = check_set(staging, notify=notify)
        report.problems = [line.replace(str(staging), target.name) for line in report.problems]
        report.raise_if_bad()
        notes = [_release(staging, card)] if card and card.checksums else []
    return Added(target, len(hr), tuple(scales), tuple(notes))


def add_photos(data_root: Path = Path("datasets")) -> Added:
    """Write scikit-image's photographs to `data_root`/photos/train and val; DataError when they are there already."""
    target = data_root / "photos"
    with staged_folder(target) as staging:
        places = write_photos(staging)
    return Added(target, sum(len(list_pictures(target / place.name)) for place in places))


def _unpack(source: Path, target: Path, picks: Sequence[str]) -> None:
    if not source.exists():
        raise DataError("no such file or folder", where=str(source))
    members = 0
    picked = 0
    for member in pictures_in(source):
        wanted = any(fnmatch(f"/{member.path}", f"*/{pick}") for pick in picks)
        # pictures that the card picks out of a larger archive push everything else aside
        place = target / ("picked" if wanted else "all") / (PurePosixPath(member.path.name) if wanted else member.path)
        members += 1
        picked += wanted
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with open(place, "xb") as out:
                member.copy_to(out)
                out.flush()
                os.fsync(out.fileno())
        except FileExistsError as fault:
            raise DataError(f"{member.path} comes twice", where=str(source)) from fault
        except OSError as fault:
            raise storage_fault(place, 0, fault) from fault
    if not members:
        raise DataError("holds no pictures", where=str(source))


def _set_root(unpacked: Path, card: Card | None) -> Path:
    if (unpacked / "picked").is_dir():
        return unpacked / "picked"
    root = unpacked / "all"
    if card is not None:
        wanted = {name.lower() for name in (card.name, *card.aliases)}
        # a collection of several sets, each in a folder of its own
        for folder in sorted(root.rglob("*"), key=lambda path: len(path.parts)):
            if folder.is_dir() and folder.name.lower() in wanted:
                return folder
    while True:
        inside = list(root.iterdir())
        if len(inside) != 1 or not inside[0].is_dir():
            return root
        if list_pictures(inside[0]) and inside[0].name.endswith("_HR"):
            return root  # DIV2K_train_HR alone: its parent is the set
        root = inside[0]


def _hr_pictures(root: Path, card: Card | None, source: Path) -> list[Path]:
    try:
        hr = list_pictures(find_hr(root))
    except DataError as fault:
        hint = f"expected {card.layout}" if card else "expected HR/*.png"
        raise DataError(fault.message, where=str(source), hint=hint) from fault
    if card is not None and len(hr) != card.pictures:
        raise DataError(f"{len(hr)} HR pictures, but {card.name} has {card.pictures}", where=str(source), hint=card.layout)
    return hr


def _move(paths: Sequence[Path], folder: Path, names: Sequence[str]) -> None:
    folder.mkdir(parents=True)
    for path, name in zip(paths, names):
        path.rename(folder / name)


def _release(folder: Path, card: Card) -> str:
    present = {name: folder / name for name in card.checksums if (folder / name).is_file()}
    equal = sum(digest(path.read_bytes()) == card.checksums[name] for name, path in present.items())
    text = f"{equal} of {len(card.checksums)} files equal {card.checksums_of}"
    return text if equal == len(card.checksums) else f"{text}; scores can differ by 0.1 dB between releases"
