"""Mutation testing: python tests/mutate.py --budget 40 [--seed 1] [--area packed] [--again] (`make mutants BUDGET=40`)

Changes one thing in a copy of the tree (tests/mutants.py says what), runs the tests of the changed module, and notes whether
they fail. A mutant that survives is a promise without a test, or a change without an effect: docs/coverage.md judges those
that were found. Mutants are drawn with a seed, evenly over areas and files, until the budget is used up.

--again runs the survivors of the last run instead, against the tests as they are now, and more of them.

Writes build/mutants.json after each mutant, and build/mutants.md at the end.
"""

from __future__ import annotations

import argparse
import dataclasses
import heapq
import json
import os
import random
import re
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.mutants import Mutant, mutants_of, parses
from tests.tree_copy import REPOSITORY, change, copy_tree, environment

PACKED = "tests/runtime/packed/"
CHAOS = "tests/chaos/"
# area: (files, tests that all of its modules share, what --again runs besides); a module's own test file runs before them.
# Not test_check_cost.py, which times: a loaded machine would kill all mutants.
AREAS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "quant": (("qsr/quant/*.py",), ("tests/property/test_quant_laws.py",), ("tests/quant",)),
    "packed": (
        ("qsr/runtime/packed/*.py",),
        (f"{PACKED}test_check.py", f"{PACKED}test_container.py", f"{PACKED}test_text.py"),
        (
            f"{PACKED}test_mutations.py",
            f"{PACKED}test_codes.py",
            "tests/fuzz/test_packed.py",
            "tests/fuzz/test_packed_limits.py",
        ),
    ),
    "checkpoint": (
        ("qsr/train/checkpoint.py", "qsr/files.py"),
        ("tests/train/test_checkpoint.py", "tests/test_files.py", f"{CHAOS}test_crash_in_save.py", f"{CHAOS}test_disk_full.py"),
        (f"{CHAOS}test_power_loss.py", f"{CHAOS}test_damaged_checkpoints.py", "tests/train/test_experiment.py"),
    ),
}
LIMIT = 120  # seconds of the processor for the tests of one mutant
MEMORY = 8 << 30  # bytes of data a mutant may take
PATIENCE = 12  # seconds on the clock for each second of the processor, until a mutant that does nothing is given up
SLOW = ("numpy", "torch", "numba", "safetensors.numpy", "hypothesis", "PIL.Image", "pydantic", "yaml")  # to import
RESULTS = REPOSITORY / "build" / "mutants.json"


def draw(mutants: dict[str, dict[str, list[Mutant]]], seed: int) -> Iterator[tuple[str, Mutant]]:
    """(area, mutant), areas in turn; within an area each file has its share of every beginning of the list."""
    chance = random.Random(seed)
    queues: dict[str, list[tuple[float, str, Mutant]]] = {}
    for area, files in mutants.items():
        queue = []
        for file, found in sorted(files.items()):
            mixed = chance.sample(found, len(found))
            queue += [((place + chance.random()) / len(mixed), f"{file}{place}", mutant) for place, mutant in enumerate(mixed)]
        heapq.heapify(queue)
        queues[area] = queue
    while any(queues.values()):
        for area, queue in queues.items():
            if queue:
                yield area, heapq.heappop(queue)[-1]


def tests_of(area: str, file: str, tree: Path, thorough: bool) -> list[str]:
    """pytest's arguments for one module: its own tests first; of those that all quantizers share the ones of this quantizer."""
    path = Path(file).relative_to("qsr")
    own = str(Path("tests") / path.parent / f"test_{path.name}")
    _, shared, more = AREAS[area]
    chosen = [name for name in (own, *shared, *(more if thorough else ())) if (tree / name).exists()]
    method = f'"{path.stem}": Method(' in (tree / "qsr" / "spec.py").read_text(encoding="utf-8")
    if method and not thorough:
        chosen += ["tests/quant/test_battery.py", "-k", f"{path.stem} or laws"]
    return list(dict.fromkeys(chosen))


class Runner:
    """Runs pytest in forks of a process that has imported what is slow to import, and nothing of qsr."""

    def __init__(self, tree: Path, slow: Sequence[str] = SLOW) -> None:
        self.tree = tree
        self.log = tree.parent / "mutant.log"
        os.environ.update(environment(tree), NUMBA_CACHE_DIR=str(tree.parent / "numba"))
        os.environ.pop("PYTEST_CURRENT_TEST", None)
        sys.path[:] = [str(tree), *(path for path in sys.path if Path(path).resolve() != REPOSITORY)]
        for name in slow:
            __import__(name)
        assert not any(name == "qsr" or name.startswith("qsr.") for name in sys.modules)

    def run(self, tests: Sequence[str], limit: float, settings: Mapping[str, str] | None = None) -> tuple[str, str, float]:
        """(outcome, the test that failed, seconds); outcome: survived, killed, timed out. Seconds are the processor's.

        settings: environment variables of this run alone.
        """
        end = time.monotonic() + PATIENCE * limit
        pid = os.fork()
        if pid == 0:
            os.environ.update(settings or {})
            self._child(tests, limit)
        done = 0
        while not done and time.monotonic() < end:
            time.sleep(0.02)
            done, status, used = os.wait4(pid, os.WNOHANG)
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)  # and what the tests have left running
        if not done:
            _, status, used = os.wait4(pid, 0)
        code = os.waitstatus_to_exitcode(status) if done else None
        if code == -signal.SIGXCPU:
            code = None
        if code in (99, pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED):
            raise SystemExit(f"the tests did not run as they should: exit code {code}, see {self.log}")
        outcome = "timed out" if code is None else "survived" if code == 0 else "killed"
        failed = re.findall(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", self.log.read_text(errors="replace"), re.MULTILINE)
        return outcome, failed[-1] if failed else "", used.ru_utime + used.ru_stime

    def _child(self, tests: Sequence[str], limit: float) -> None:
        os.setsid()
        handle = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(handle, stream)
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (int(limit), int(limit) + 5))
        os.chdir(self.tree)
        # a test's own limit is on the clock: on a busy machine it would be the machine that it judges
        options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", f"--timeout={PATIENCE * limit}"]
        options.append(f"--basetemp={self.tree.parent / 'temporary'}")
        code: int = pytest.main([*options, *tests])
        sys.stdout.flush()
        loaded = sys.modules.get("qsr")
        elsewhere = loaded is not None and not Path(loaded.__file__ or "").resolve().is_relative_to(self.tree.resolve())
        os._exit(99 if elsewhere else code)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--budget", type=float, default=10, metavar="MINUTES")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--area", choices=AREAS, action="append", help="default: all")
    parser.add_argument("--file", action="append", help="only these files of qsr/")
    parser.add_argument("--again", action="store_true", help="the survivors of the last run")
    options = parser.parse_args(arguments)
    end = time.monotonic() + 60 * options.budget

    tree = copy_tree(REPOSITORY / "build" / "mutants" / "tree")
    mutants = {
        area: {file: mutants_of(file, (tree / file).read_bytes()) for file in _files(area, tree, options.file)}
        for area in options.area or AREAS
    }
    total = sum(len(found) for files in mutants.values() for found in files.values())
    last = json.loads(RESULTS.read_text())["mutants"] if options.again else []
    results = [one for one in last if one["outcome"] != "survived"]
    chosen = _survivors(last, mutants) if options.again else draw(mutants, options.seed)
    runner = Runner(tree)
    trusted: set[str] = set()
    for area, mutant in chosen:
        if time.monotonic() > end:
            break
        source = (tree / mutant.file).read_bytes()
        if not parses(broken := mutant.apply(source)):
            continue
        try:
            change(tree / mutant.file, broken)
            outcome, failed, seconds = runner.run(tests_of(area, mutant.file, tree, options.again), LIMIT)
        finally:
            change(tree / mutant.file, source)
        if failed and failed not in trusted:
            if runner.run([failed], LIMIT)[0] != "survived":
                raise SystemExit(f"{failed} fails without a change: see {runner.log}")
            trusted.add(failed)
        facts = {"area": area, "outcome": outcome, "by": failed, "seconds": round(seconds, 1), **dataclasses.asdict(mutant)}
        results.append(facts)
        print(f"{outcome:9} {seconds:5.1f} s  {mutant.name}", flush=True)
        _write({"seed": options.seed, "of": total, "mutants": results})
    RESULTS.with_suffix(".md").write_text(summary(results, total, options.seed), encoding="utf-8")
    return 0


def summary(results: Sequence[dict[str, Any]], total: int, seed: int) -> str:
    """Markdown: killed, survived and timed out for each file, and the survivors."""
    lines = [f"{len(results)} of {total} mutants, seed {seed}.", ""]
    lines += ["| file | mutants | killed | timed out | survived |", "| --- | ---: | ---: | ---: | ---: |"]
    rows = [
        (file, Counter(one["outcome"] for one in results if one["file"] == file))
        for file in sorted({r["file"] for r in results})
    ]
    rows.append(("all", Counter(one["outcome"] for one in results)))
    lines += [f"| {name} | {n.total()} | {n['killed']} | {n['timed out']} | {n['survived']} |" for name, n in rows]
    alive = [one for one in results if one["outcome"] == "survived"]
    lines += ["", *(f"- `{one['file']}:{one['line']}` `{one['before']}` -> `{one['after']}`" for one in alive), ""]
    return "\n".join(lines)


def _files(area: str, tree: Path, only: Sequence[str] | None) -> list[str]:
    found = sorted(str(path.relative_to(tree)) for pattern in AREAS[area][0] for path in tree.glob(pattern))
    return [file for file in found if not only or file in only]


def _survivors(last: Sequence[dict[str, Any]], mutants: dict[str, dict[str, list[Mutant]]]) -> Iterator[tuple[str, Mutant]]:
    """Those of the last run as the sources are now: the same change, on the nearest line to where it was."""
    for one in last:
        alike = [
            mutant
            for mutant in mutants.get(one["area"], {}).get(one["file"], [])
            if one["outcome"] == "survived" and (mutant.before, mutant.after) == (one["before"], one["after"])
        ]
        if alike:
            yield one["area"], min(alike, key=lambda mutant: (abs(mutant.line - one["line"]), abs(mutant.start - one["start"])))


def _write(facts: dict[str, Any]) -> None:
    temporary = RESULTS.with_suffix(".tmp")
    temporary.write_text(json.dumps(facts, indent=1), encoding="utf-8")
    temporary.replace(RESULTS)


if __name__ == "__main__":
    sys.exit(main())
