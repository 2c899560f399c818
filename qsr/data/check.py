"""`qsr data check`: every fault of a data set in one report, before a training run finds them one by one at night.

Every picture is decoded strictly; names, pairs and sizes are compared; with a manifest, bytes too. Problems make the
set unusable (exit code 3); notes are only worth knowing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qsr.data.formats import sniff
from qsr.data.image import decode, list_pictures
from qsr.data.layout import best_pattern, fill, find_hr, lr_folder, lr_patterns
from qsr.data.manifest import MANIFEST_NAME, Entry, compare, digest, read_manifest, write_manifest
from qsr.data.prepare import Notify, in_threads, silent
from qsr.data.store import LmdbStore
from qsr.errors import DataError

SCALES = (2, 3, 4, 8)


@dataclass
class CheckReport:
    """`problems` and `notes` are finished lines; `manifests` are the files that were written."""

    pictures: int = 0
    pairs: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    manifests: list[Path] = field(default_factory=list)

    def raise_if_bad(self) -> None:
        """DataError with all problems as its text, one per line."""
        if self.problems:
            lines = "\n".join(f"  {line}" for line in self.problems)
            many = "s" if len(self.problems) > 1 else ""
            raise DataError(f"{len(self.problems)} problem{many} in {self.pictures} pictures\n{lines}")


def check_set(
    folder: Path,
    lr: Path | None = None,
    scale: int | None = None,
    *,
    tmpl: str | None = None,
    manifest: bool = True,
    notify: Notify = silent,
) -> CheckReport:
    """Check the HR pictures of `folder` (or of an LMDB) and their LR: those of `lr` at `scale`, or all that the set ships.

    A manifest beside the pictures is compared with; where there is none and nothing is wrong, it is written
    (`manifest=False` does neither). Raises DataError only when there is nothing to check; faults are in the report.
    """
    if folder.suffix == ".lmdb":
        return _check_lmdb(LmdbStore(folder), notify)
    if lr is not None and scale is None:
        raise DataError("the scale of these LR pictures is needed", where=str(lr), hint="--scale 2")
    hr_folder = find_hr(folder)
    shipped = {s: lr_folder(folder, s) for s in (SCALES if scale is None else (scale,))} if lr is None else {scale or 1: lr}
    report = CheckReport()
    checked = {hr_folder: _check_folder(hr_folder, report, manifest, notify)}
    for s, lr_place in shipped.items():
        if lr_place is not None:
            checked[lr_place] = _check_folder(lr_place, report, manifest, notify)
            _check_pairs(hr_folder, lr_place, checked, s, [tmpl] if tmpl else lr_patterns(s), report)
    if manifest and not report.problems:
        for place, entries in checked.items():
            if not (place / MANIFEST_NAME).is_file():
                write_manifest(place / MANIFEST_NAME, entries)
                report.manifests.append(place / MANIFEST_NAME)
    return report


def _check_lmdb(store: LmdbStore, notify: Notify) -> CheckReport:
    def work(i: int) -> str | None:
        try:
            store.read(i)
        except DataError as fault:
            return str(fault)
        return None

    report = CheckReport(pictures=len(store.names))
    report.problems = [line for line in in_threads(work, range(len(store.names)), notify) if line]
    if store.entries != len(store.names):
        report.problems.append(f"{store.root}: {store.entries} entries, but meta_info.txt lists {len(store.names)}")
    return report


def _check_folder(folder: Path, report: CheckReport, use_manifest: bool, notify: Notify) -> dict[str, Entry]:
    paths = list_pictures(folder)
    problems = _name_problems(folder, paths)
    entries: dict[str, Entry] = {}
    for path, found in zip(paths, in_threads(_inspect, paths, notify)):
        if isinstance(found, DataError):
            problems.append(str(found))
        else:
            entries[path.name], notes = found
            report.notes += notes
    report.notes += _same_bytes(folder, entries)
    recorded = folder / MANIFEST_NAME
    if use_manifest and recorded.is_file():
        # what cannot be decoded has been reported as that
        undecoded = {path.name for path in paths} - entries.keys()
        before = {name: entry for name, entry in read_manifest(recorded).items() if name not in undecoded}
        problems += [f"{folder / name}: {what}" for name, what in compare(before, entries)]
    report.pictures += len(paths)
    report.problems += problems
    return entries


def _inspect(path: Path) -> tuple[Entry, list[str]] | DataError:
    try:
        data = path.read_bytes()
        image = decode(data, str(path))
    except OSError as fault:
        return DataError(f"cannot read: {fault.strerror or fault}", where=str(path))
    except DataError as fault:
        return fault
    height, width, channels = image.shape
    notes = []
    if channels in (2, 4):
        notes.append(f"{path}: has an alpha channel, which is dropped")
    if image.itemsize == 2:
        notes.append(f"{path}: has 16 bits per channel, which are rounded to 8")
    kind = sniff(data[:12])
    if not kind.lower().startswith(path.suffix[1:].lower().replace("jpg", "jpeg")[:4]):
        notes.append(f"{path}: is a {kind} in spite of its name")
    return Entry(len(data), (height, width, channels), 8 * image.itemsize, digest(data)), notes


def _name_problems(folder: Path, paths: Sequence[Path]) -> list[str]:
    groups: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        groups[path.stem.lower()].append(path.name)
    problems = []
    for names in groups.values():
        if len(names) > 1:
            same = len({Path(name).stem for name in names}) == 1
            why = "share one name" if same else "differ only in upper and lower case"
            problems.append(f"{folder}: {' and '.join(sorted(names))} {why}")
    return problems


def _same_bytes(folder: Path, entries: dict[str, Entry]) -> list[str]:
    groups: dict[str, list[str]] = defaultdict(list)
    for name, entry in entries.items():
        groups[entry.blake2b].append(name)
    return [f"{folder}: {' and '.join(names)} are the same picture" for names in groups.values() if len(names) > 1]


def _check_pairs(
    hr_folder: Path,
    lr_place: Path,
    checked: Mapping[Path, Mapping[str, Entry]],
    scale: int,
    patterns: Sequence[str],
    report: CheckReport,
) -> None:
    # by listing, not by `entries`: a picture that cannot be decoded is damaged, not missing
    hr_stems = [path.stem for path in list_pictures(hr_folder)]
    lr_stems = {path.stem: path.name for path in list_pictures(lr_place)}
    pattern = best_pattern(lr_stems, hr_stems, patterns)
    wanted = {fill(pattern, stem): stem for stem in hr_stems}
    report.problems += [f"{lr_place / stem}: missing; HR {wanted[stem]} has no LR" for stem in wanted if stem not in lr_stems]
    report.problems += [f"{lr_place / name}: no HR belongs to it" for stem, name in lr_stems.items() if stem not in wanted]
    sizes = {Path(name).stem: entry.shape for name, entry in checked[hr_folder].items()}
    for stem, hr_stem in wanted.items():
        entry = checked[lr_place].get(lr_stems.get(stem, ""))
        shape = sizes.get(hr_stem)
        if entry is None or shape is None:
            continue
        report.pairs += 1
        if entry.shape[:2] != (shape[0] // scale, shape[1] // scale):
            report.problems.append(
                f"{lr_place / lr_stems[stem]}: is {entry.shape[0]}x{entry.shape[1]}, but HR {hr_stem} of {shape[0]}x{shape[1]}"
                f" asks for {shape[0] // scale}x{shape[1] // scale} at x{scale}"
            )
