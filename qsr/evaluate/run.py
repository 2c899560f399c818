"""`qsr test` as a function: one subject over the sets that are there, at each of its scales."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qsr.data.benchmark import BenchmarkSet, data_roots, find_root, open_folders, open_set
from qsr.errors import DataError
from qsr.evaluate.benchmark import SetResult, evaluate_set, results_json
from qsr.evaluate.subject import Subject
from qsr.options import Options

PAPER_SETS = ("Set5", "Set14", "B100", "Urban100", "Manga109")


@dataclass(frozen=True)
class TestOutcome:
    """results: what results_json makes. skipped: one sentence per set that is not on this machine."""

    results: dict[str, Any]
    skipped: tuple[str, ...]


@dataclass(frozen=True)
class Progress:
    """Told after every picture: which set, at which scale, and how far."""

    dataset: str
    scale: int
    picture: str
    done: int
    of: int


def run_test(
    subject: Subject,
    sets: Sequence[str] | None = None,
    *,
    data_root: Path | None = None,
    save_to: Path | None = None,
    notify: Callable[[Progress], None] | None = None,
) -> TestOutcome:
    """Evaluate `subject`. A set that is not there is skipped and said; a damaged one raises DataError.

    sets: names, aliases or folders; left out: the option file's own test sets, else the papers' five.
    save_to: folder for the upscaled pictures. notify: called after every picture.
    Raises DataError where no set is there at all.
    """
    results: list[SetResult] = []
    skipped: dict[str, None] = {}  # ordered, without repetition over the scales
    for protocol in subject.protocols:
        upscaler = subject.upscaler(protocol.scale)
        for found in _sets(subject.options, sets, protocol.scale, data_root):
            if isinstance(found, str):
                skipped[found] = None
                continue
            tell = _teller(notify, found)
            results.append(evaluate_set(upscaler, found, protocol, save_to=save_to, notify=tell))
    if not results:
        hint = "--data-root FOLDER says where they are, `qsr data list` where they come from"
        raise DataError("no set to evaluate: " + "; ".join(skipped), hint=hint)
    return TestOutcome(results_json(results, subject.protocols, subject.facts()), tuple(skipped))


def _sets(
    options: Options | None, names: Sequence[str] | None, scale: int, data_root: Path | None
) -> Iterator[BenchmarkSet | str]:
    """Opened sets; for one that is not there a sentence instead."""
    own = _own_sections(options) if options and names is None else []
    for section in own:
        assert options is not None
        dataset = options.datasets[section]
        name = dataset.name or section
        missing = [root for root in (dataset.dataroot_gt, dataset.dataroot_lq) if root and not Path(root).exists()]
        if missing:
            yield f"{name}: no {missing[0]}"
        else:
            yield open_folders(
                dataset.dataroot_gt,
                dataset.dataroot_lq,
                scale=scale,
                tmpl=dataset.filename_tmpl,
                name=name,
                meta_info=dataset.meta_info_file,
            )
    for name in names or (() if own else PAPER_SETS):
        if find_root(name, data_root) is None and not Path(name).is_dir():
            yield f"{name}: not found below {', '.join(map(str, data_roots(data_root)))}"
        else:
            yield open_set(name, scale, data_root)


def _own_sections(options: Options) -> list[str]:
    """Sections test, test_1, ... of a BasicSR test file. Training files have only `val`: they get the papers' sets."""
    return [phase for phase in options.datasets if phase.partition("_")[0] == "test"]


def _teller(notify: Callable[[Progress], None] | None, one: BenchmarkSet) -> Callable[[str], None] | None:
    if notify is None:
        return None
    done = 0

    def tell(picture: str) -> None:
        nonlocal done
        done += 1
        notify(Progress(one.name, one.scale, picture, done, len(one)))

    return tell
