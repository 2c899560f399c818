"""One job after the other: a file that cannot be done is a line and a count, not the end of the batch."""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from qsr.errors import DataError, EnvironmentFault, QsrError
from qsr.upscale.enlarge import Network, Tick, Way, enlarge, silent
from qsr.upscale.names import PICTURES, Job, check_inside, printable
from qsr.upscale.target import disk_is_full, new_token, replacing, sweep

if TYPE_CHECKING:
    from qsr.upscale.picture import Outline


@dataclass(frozen=True)
class How:
    """What is the same for all files. mark: of the results (choose.mark). root: no result lies outside of it."""

    mark: str
    way: Way = field(default_factory=Way)
    quality: int = 95
    overwrite: bool = False
    root: Path | None = None
    token: str = ""


@dataclass(frozen=True)
class Outcome:
    """state: done, skipped, failed or not tried. pixels: of the result, all frames. exit_code: of a failure."""

    job: Job
    state: str
    why: str = ""
    size: tuple[int, int] = (0, 0)  # height, width
    pixels: int = 0
    seconds: float = 0.0
    exit_code: int = 0

    def line(self) -> str:
        """One line for a person, whatever the files are called."""
        source = printable(self.job.source)
        if self.state != "done":
            return f"{source}: {self.state}" + (f": {printable(self.why)}" if self.why else "")
        speed = self.pixels / 1e6 / max(self.seconds, 1e-9)
        height, width = self.size
        frames = self.pixels // (height * width)
        size = f"{width}x{height}" + (f", {frames} frames" if frames > 1 else "")
        return f"{source} -> {printable(self.job.target)}  {size}  {self.seconds:.2f} s, {speed:.2f} MP/s"


Tell = Callable[[Outcome], None]


def run(network: Network, jobs: Sequence[Job], how: How, tell: Tell, tick: Tick = silent) -> list[Outcome]:
    """Do all jobs. tell: after each. tick: pixels done since the last call.

    A full disk ends the batch: the next file would find no room either.
    """
    outcomes: list[Outcome] = []
    full = False
    for job in jobs:
        if full:
            outcome = Outcome(job, "not tried", "no room left", exit_code=EnvironmentFault.exit_code)
        else:
            outcome, full = _guarded(network, job, how, tick)
        outcomes.append(outcome)
        tell(outcome)
    return outcomes


def clean(jobs: Sequence[Job], token: str | None = None) -> int:
    """Remove what killed runs left in the output folders (of the run `token` on all machines); how many files."""
    return sweep({job.target.parent for job in jobs}, token)


def _guarded(network: Network, job: Job, how: How, tick: Tick) -> tuple[Outcome, bool]:
    try:
        return one(network, job, how, tick), False
    except QsrError as fault:
        return Outcome(job, "failed", _without_source(fault, job), exit_code=fault.exit_code), disk_is_full(fault)
    except MemoryError:
        hint = "" if importlib.util.find_spec("pyvips") else "; pip install 'qsr[large]' for large pictures"
        return Outcome(job, "failed", f"not enough memory{hint}", exit_code=EnvironmentFault.exit_code), False
    except Exception as fault:  # a bug of ours or of a library: of this file alone, as far as the others are concerned
        why = f"{type(fault).__name__}: {fault} (a bug in qsr)"
        return Outcome(job, "failed", why, exit_code=QsrError.exit_code), False


def one(network: Network, job: Job, how: How, tick: Tick = silent) -> Outcome:
    """Do one job; raises what went wrong. The result is there whole or not at all, and never outside of how.root."""
    check_inside(job.target, how.root)
    if not how.overwrite and is_done(job, how.mark):
        return Outcome(job, "skipped", "done already")
    begun = time.perf_counter()
    height, width, frames = (_video if job.video else _picture)(network, job, how, tick)
    seconds = time.perf_counter() - begun
    return Outcome(job, "done", size=(height, width), pixels=height * width * frames, seconds=seconds)


def is_done(job: Job, mark: str) -> bool:
    """Whether the result is there, no older than its source, and made by the same network in the same way.

    DataError where another file is in the way: a picture that was not made here is not replaced unasked.
    """
    try:
        made, source = job.target.stat(), job.source.stat()
    except OSError:
        return False
    if job.video:
        from qsr.upscale.video import video_mark

        found = video_mark(job.target)
    else:
        from qsr.upscale.save import mark_of

        found = mark_of(job.target)
    if found is None:
        raise DataError("there is another file of that name", where=printable(job.target), hint="--overwrite replaces it")
    return found == mark and made.st_mtime_ns >= source.st_mtime_ns


def _picture(network: Network, job: Job, how: How, tick: Tick) -> tuple[int, int, int]:
    from qsr.upscale import large
    from qsr.upscale.picture import Picture, outline, pixel_limit, read
    from qsr.upscale.save import check, save, without_alpha

    shape = outline(job.source)
    kind = PICTURES[job.target.suffix.lower()]
    check(kind, shape.height * network.scale, shape.width * network.scale)  # before the work, not after it
    too_large = shape.big_tiff or shape.width * shape.height > pixel_limit()  # to be read at once
    if too_large or (large.is_large(shape, network.scale) and kind in large.KINDS and importlib.util.find_spec("pyvips")):
        with replacing(job.target, how.token) as temporary, open(temporary, "wb") as handle:
            done = large.upscale_large(network, job.source, handle, kind, how.mark, how.way, tick)
        return (*done, 1)
    _refuse_memory(shape, network.scale)
    without_opencv = shape.itemsize == 2 and not importlib.util.find_spec("cv2")
    picture = (large.read_at_once if without_opencv else read)(job.source)
    if kind == "jpg" and picture.alpha:
        picture = Picture(without_alpha(picture.pixels), picture.icc, picture.exif)
    pixels = enlarge(network, picture.pixels, how.way, tick)
    height, width = pixels.shape[:2]
    with replacing(job.target, how.token) as temporary, open(temporary, "wb") as handle:
        save(handle, Picture(pixels, picture.icc, picture.exif), kind, how.mark, how.quality)
    return height, width, 1


def _refuse_memory(shape: Outline, scale: int) -> None:
    """DataError where reading and writing at once would take more memory than there is: better than being killed for it."""
    # the pixels read; the result twice, once being written
    needed = shape.width * shape.height * 3 * shape.itemsize * (1 + 2 * scale**2)
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise DataError(
            f"needs {needed / 2**30:.1f} GiB of memory, there are {there / 2**30:.1f}",
            hint="pip install 'qsr[large]' and --format png or tiff: rows by rows",
        )


def _video(network: Network, job: Job, how: How, tick: Tick) -> tuple[int, int, int]:
    from qsr.upscale.video import library, upscale_video

    library()  # before anything is opened
    with replacing(job.target, how.token) as temporary, open(temporary, "w+b") as handle:
        frames, height, width = upscale_video(network, job.source, handle, job.target.suffix.lower(), how.mark, how.way, tick)
    return height, width, frames


def _without_source(fault: QsrError, job: Job) -> str:
    """The message without the file's name in front, where the line has it already."""
    return str(fault).removeprefix(f"{job.source}: ")


@dataclass(frozen=True)
class Summary:
    """Counts by state and what was done altogether."""

    done: int
    skipped: int
    failed: int
    not_tried: int
    pixels: int
    exit_code: int

    @classmethod
    def of(cls, outcomes: Sequence[Outcome], faults: int = 0) -> Summary:
        """faults: inputs that were no jobs at all. exit_code: 6 where the machine said no, 1 for a bug, else 3 or 0."""
        states = [outcome.state for outcome in outcomes]
        codes = {outcome.exit_code for outcome in outcomes} | ({DataError.exit_code} if faults else set())
        code = next((code for code in (EnvironmentFault.exit_code, QsrError.exit_code) if code in codes), max(codes, default=0))
        pixels = sum(outcome.pixels for outcome in outcomes)
        failed = states.count("failed") + faults
        return cls(states.count("done"), states.count("skipped"), failed, states.count("not tried"), pixels, code)

    def line(self, seconds: float) -> str:
        parts = [f"{self.done} done", f"{self.skipped} skipped", f"{self.failed} failed"]
        parts += [f"{self.not_tried} not tried"] if self.not_tried else []
        speed = f", {self.pixels / 1e6 / seconds:.2f} MP/s" if self.pixels and seconds > 0 else ""
        return f"{', '.join(parts)} in {seconds:.2f} s{speed}"


__all__ = ["How", "Outcome", "Summary", "clean", "is_done", "new_token", "one", "run"]
