"""Folder to folder: LR pictures from HR, and the overlapping sub-images that training decodes faster.

Every output file is written in one step, so an interrupted run leaves whole files only and is simply started again.
`notify(done, total)` drives a progress bar.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np

from qsr.data.image import list_pictures, read_rgb, write_png
from qsr.data.layout import fill
from qsr.data.resize import Mode, degrade
from qsr.data.store import unique_stems
from qsr.errors import DataError

Notify = Callable[[int, int], None]
Item = TypeVar("Item")
Result = TypeVar("Result")


def silent(done: int, total: int) -> None:
    """The progress of a caller that shows none."""


def degrade_folder(
    source: Path, target: Path, scale: int, *, tmpl: str = "{}x{scale}", mode: Mode = "matlab", notify: Notify = silent
) -> int:
    """Write the LR picture of every HR picture in `source` to `target` as PNG; returns how many were written.

    `tmpl` names the LR file from the HR stem (`{}`) and the scale. Raises DataError naming the first bad file.
    """
    pictures = list_pictures(source)
    names = [fill(tmpl.replace("{scale}", str(scale)), name) for name in unique_stems(pictures)]
    jobs = [(path, target / f"{name}.png") for path, name in zip(pictures, names)]
    _refuse_outside(target, [out for _, out in jobs])

    def work(job: tuple[Path, Path]) -> None:
        path, out = job
        hr = read_rgb(path)
        if min(hr.shape[:2]) < scale:
            raise DataError(f"smaller than the scale {scale}", where=str(path))
        write_png(out, degrade(hr, scale, mode))

    return len(in_threads(work, jobs, notify))


def cut_subimages(
    source: Path, target: Path, *, crop: int = 480, step: int = 240, smallest: int = 0, notify: Notify = silent
) -> int:
    """Cut every picture into `crop` x `crop` pieces, `step` apart, named NAME_s001.png ...; returns how many.

    The last piece of a row or column is moved back to the border when more than `smallest` pixels would be left over.
    A picture smaller than `crop` is kept as one piece.
    """
    if not 0 < step <= crop:
        raise DataError(f"step {step} must be between 1 and the crop {crop}, or pixels would be lost")
    pictures = list_pictures(source)
    unique_stems(pictures)

    def work(path: Path) -> int:
        picture = read_rgb(path)
        pieces = list(_pieces(picture, crop, step, smallest))
        for number, piece in enumerate(pieces, 1):
            write_png(target / f"{path.stem}_s{number:03d}.png", np.ascontiguousarray(piece))
        return len(pieces)

    return sum(in_threads(work, pictures, notify))


def in_threads(
    work: Callable[[Item], Result], items: Sequence[Item], notify: Notify = silent, threads: int | None = None
) -> list[Result]:
    """`work` on every item, in threads; results in the items' order. The first error (or Ctrl-C) cancels the rest."""
    results: list[Result] = []
    with ThreadPoolExecutor(threads or os.cpu_count() or 1, "qsr-data") as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            for done, future in enumerate(futures, 1):
                results.append(future.result())
                notify(done, len(futures))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return results


def _pieces(picture: np.ndarray, crop: int, step: int, smallest: int) -> Iterator[np.ndarray]:
    for top in _starts(picture.shape[0], crop, step, smallest):
        for left in _starts(picture.shape[1], crop, step, smallest):
            yield picture[top : top + crop, left : left + crop]


def _starts(length: int, crop: int, step: int, smallest: int) -> list[int]:
    starts = list(range(0, max(length - crop, 0) + 1, step))
    if length - (starts[-1] + crop) > smallest:
        starts.append(length - crop)
    return starts


def _refuse_outside(target: Path, outputs: Iterable[Path]) -> None:
    # a template such as '../{}' must not leave the folder that was asked for
    home = target.resolve()
    for out in outputs:
        if "\0" in str(out) or home not in out.resolve().parents:
            raise DataError(f"the name {out.name!r} would be written outside {target}", where=str(out))
