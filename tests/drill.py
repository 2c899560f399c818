"""Numbered drills: what qsr promises about damage, loss and load, and the tests that try to break it.

    @pytest.mark.drill("F3")
    def test_damaged_headers(drill):
        for _ in drill.rounds(push=300, nightly=30_000):
            damaged = damage(drill.random, GOOD)
            if not refused(damaged):
                drill.fail("accepted a damaged header", damaged)

A drill prints its seed (`QSR_DRILL_SEED=...` repeats it), keeps the input that broke it below build/drills/failing, and
leaves one JSON file per test and mode in build/drills, from which `python tests/drill_table.py` writes the table of
docs/reliability.md. `make nightly BUDGET=minutes` runs the long versions: the time is shared out evenly, and a drill that
runs out of its share stops where it is and says how far it came.
"""

from __future__ import annotations

import json
import os
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
RESULTS = Path(os.environ.get("QSR_DRILL_RESULTS", REPOSITORY / "build" / "drills"))
NIGHTLY = os.environ.get("QSR_NIGHTLY") == "1"
TODAY = time.strftime("%Y-%m-%d", time.gmtime())  # of the start: drills move the clock
MINUTES = float(os.environ.get("QSR_DRILL_MINUTES", "120"))

# number: (promise, what it is tried with)
PROMISES = {
    "F1": "A hostile packed file never crashes, corrupts memory, hangs for 1 s or takes 256 MiB",
    "F2": "A hostile file that is accepted also runs without a finding",
    "F3": "A damaged header is refused by name and place, or read as what it says",
    "F4": "A damaged checkpoint folder never loads a mixed state; the last good one is found",
    "F5": "A hostile .pth runs no code, ends with exit code 3 in 2 s and 512 MiB",
    "F6": "A hostile option file ends with exit code 2 in 1 s and names its line",
    "F7": "The loader and an independent checker agree on what is a packed file",
    "F8": "No name in data, outputs or metadata leads outside the output folder",
    "K1": "Every kernel computes the reference's integers, whatever the shape",
    "K2": "No sum overflows at the largest allowed length; one more is refused",
    "K3": "All instruction sets give the same integers and the same floats",
    "K4": "Packing and unpacking are inverse and alike in numpy, numba and C++",
    "K5": "No kernel reads or writes beyond what its contract allows",
    "K6": "Threads share models without races and without changing a byte",
    "K7": "A machine without vector instructions computes the same",
    "K8": "A packed file computes what the trained network computed",
    "T1": "Killed at any moment and resumed, training ends with the same bits",
    "T2": "After a crash of the system a loadable checkpoint is on disk",
    "T3": "A signal saves and exits with code 5; a second one exits at once",
    "T4": "A lost rank hangs nobody, and a restart equals the undisturbed run",
    "T5": "A full or broken disk costs no older checkpoint and is said in one line",
    "T6": "Two processes never write the same experiment",
    "T7": "NaN and Inf are found, named and do not reach a checkpoint",
    "T8": "Numbers of workers and prefetched batches change no bit",
    "T9": "Memory, descriptors and logs stay flat over a long training, and over 10,000 pictures",
    "T10": "Resuming with other options is refused where it changes what is trained",
    "T11": "Odd clocks, paths and names work or are refused with a reason",
    "T12": "Files of earlier versions load and give the numbers that they gave",
    "D1": "A picture whose pixels are not the original's is found by `qsr data check`",
    "D2": "A picture that would fill memory is refused before it is decoded",
    "D3": "Every kind of picture has its documented result",
    "D4": "All faults of a folder of pairs are listed at once",
    "D5": "A killed build leaves no database or a whole one",
    "D6": "PSNR and SSIM are the references', on golden vectors",
    "D7": "The bicubic resize is MATLAB's",
    "M1": "A picture of any size streams in 1.5 GiB",
    "M2": "Tiles equal the whole picture",
    "M3": "Tiles of transformers show no seam",
    "M4": "Out of memory: smaller tiles, never a dead process",
    "M5": "A batch with bad files does the others, and a second run only what is left",
    "M6": "Latencies stay what they were on this kind of machine",
    "M7": "`import qsr` and `qsr --help` start at once; the runtime leaves torch alone",
    "M8": "Checking a file costs little",
}


class Drill:
    """What a drill is given: randomness of a printed seed, rounds within a budget, and a place for what broke it."""

    def __init__(self, number: str, name: str, seconds: float) -> None:
        self.number = number
        self.seed = int(os.environ.get("QSR_DRILL_SEED") or random.randrange(2**32))
        self.random = random.Random(self.seed)
        self.runs = 0
        self.stopped_early = False
        self._name = name
        self._seconds = seconds
        print(f"drill {number}: seed {self.seed}")

    def rounds(self, push: int, nightly: int) -> Iterator[int]:
        """0, 1, ... up to `push`, or `nightly` in `make nightly`; the latter no longer than this drill's share of time."""
        end = time.monotonic() + self._seconds
        for number in range(nightly if NIGHTLY else push):
            if NIGHTLY and number and time.monotonic() > end:
                self.stopped_early = True
                return
            yield number
            self.runs += 1

    def count(self, runs: int = 1) -> None:
        """Add to the number of runs, where `rounds` does not count them."""
        self.runs += runs

    def keep(self, data: bytes | str, suffix: str = ".bin") -> Path:
        """Keep an input below build/drills/failing; returns the file."""
        folder = RESULTS / "failing"
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{self._name}_{self.seed}_{self.runs}{suffix}"
        file.write_bytes(data.encode() if isinstance(data, str) else data)
        return file

    def fail(self, why: str, data: bytes | str | None = None, suffix: str = ".bin") -> None:
        """Fail the test; says the seed, the round, and where the input is kept."""
        kept = f"; input kept in {self.keep(data, suffix)}" if data is not None else ""
        pytest.fail(f"{self.number}, seed {self.seed}, round {self.runs}: {why}{kept}")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "drill(number): a numbered drill of docs/reliability.md (tests/drill.py)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        for mark in item.iter_markers("drill"):
            if mark.args[0] not in PROMISES:
                raise pytest.UsageError(f"{item.nodeid}: no drill {mark.args[0]!r} in tests/drill.py")
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    drills = sum("drill" in getattr(item, "fixturenames", ()) for item in items)
    config.stash[_SHARE] = MINUTES * 60 * workers / max(drills, 1)


_SHARE = pytest.StashKey[float]()
_DRILL = pytest.StashKey[Drill]()


@pytest.fixture
def drill(request: pytest.FixtureRequest) -> Drill:
    """The drill of a test marked `drill`; see the module."""
    mark = request.node.get_closest_marker("drill")
    assert mark is not None, "a test that takes `drill` says its number: @pytest.mark.drill('F3')"
    made = Drill(mark.args[0], _file_name(request.node), request.config.stash.get(_SHARE, 60.0))
    request.node.stash[_DRILL] = made
    return made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Write what a drill did: one JSON file per test and mode, the newest run in place of the one before."""
    report = yield
    numbers = [mark.args[0] for mark in item.iter_markers("drill")]
    if numbers and (report.when == "call" or report.outcome != "passed"):
        used = item.stash.get(_DRILL, None)
        facts = {
            "numbers": numbers,
            "test": item.nodeid,
            "mode": "nightly" if NIGHTLY or item.get_closest_marker("nightly") else "push",
            "outcome": report.outcome,
            "why": str(report.longrepr[-1]) if report.skipped and isinstance(report.longrepr, tuple) else "",
            "runs": max(used.runs if used else 0, 1),
            "seed": used.seed if used else None,
            "stopped_early": bool(used and used.stopped_early),
            "seconds": round(report.duration, 2),
            "made": TODAY,
        }
        RESULTS.mkdir(parents=True, exist_ok=True)
        file = RESULTS / f"{facts['mode']}_{_file_name(item)}.json"
        file.write_text(json.dumps(facts, indent=1), encoding="utf-8")
    return report


def _file_name(item: Any) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", item.nodeid.removeprefix("tests/"))[-150:]
