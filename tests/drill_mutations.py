"""Whether the drills can fail: python tests/drill_mutations.py [--only T2 ...] [--minutes 30]

tests/drill_mutations.toml holds broken promises: for a drill, a change to the product, and the tests that have to notice.
Each is made in a copy of the tree (build/drill_mutations), compiled where it is C++, and the tests are run. One that nothing
catches is a missing test: exit code 1.

    [[mutation]]
    drill = "T2"
    breaks = "files are not synced"
    file = "qsr/files.py"
    before = "os.fsync(handle.fileno())"   # stands in the file exactly once
    after = "pass"
    tests = ["tests/chaos/test_power_loss.py"]
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.mutate import Runner
from tests.tree_copy import REPOSITORY, change, copy_tree

TABLE = REPOSITORY / "tests" / "drill_mutations.toml"
LIMIT = 120  # seconds of the processor for the tests of one mutation
# setup.py compiles everything again whenever anything changed; of the copy only the changed file has to be
BUILD = """
import runpy, sys
from pybind11 import setup_helpers

class Incremental(setup_helpers.ParallelCompile):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options | {"needs_recompile": setup_helpers.naive_recompile})

setup_helpers.ParallelCompile = Incremental
sys.argv = ["setup.py", "-q", "build_ext", "--inplace"]
runpy.run_path("setup.py", run_name="__main__")
"""


@dataclass(frozen=True)
class Mutation:
    """A promise of drill number `drill`, broken by putting `after` in place of `before`.

    tests: pytest's arguments. settings: environment variables for them, such as a smaller count of what runs nightly.
    """

    drill: str
    breaks: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]
    settings: Mapping[str, str] = field(default_factory=dict)

    def applied(self, source: str) -> str:
        """The broken file. Raises ValueError unless `before` is there exactly once."""
        if (found := source.count(self.before)) != 1:
            raise ValueError(f"drill_mutations.toml: {self.drill}, {self.breaks}: `before` is {found} times in {self.file}")
        return source.replace(self.before, self.after)


def read(table: Path = TABLE) -> list[Mutation]:
    """The mutations of the table."""
    rows = tomllib.loads(table.read_text(encoding="utf-8"))["mutation"]
    return [Mutation(**{**row, "tests": tuple(row["tests"])}) for row in rows]


def drills_with_tests(tests: Path = REPOSITORY / "tests") -> set[str]:
    """The numbers that test files mark."""
    texts = (path.read_text(encoding="utf-8") for path in tests.rglob("test_*.py"))
    return {number for text in texts for number in re.findall(r'mark\.drill\("(\w+)"\)', text)}


def run(mutations: Iterable[Mutation], seconds: float) -> Iterator[tuple[Mutation, str]]:
    """(mutation, the test that caught it, or "" if none did); until the time is used up. Compiled ones come last."""
    end = time.monotonic() + seconds
    tree = copy_tree(REPOSITORY / "build" / "drill_mutations" / "tree")
    runner = Runner(tree)
    for mutation in sorted(mutations, key=lambda one: one.file.startswith("csrc/")):
        if time.monotonic() > end:
            return
        path, compiled = tree / mutation.file, mutation.file.startswith("csrc/")
        good = path.read_text(encoding="utf-8")
        change(path, mutation.applied(good).encode())
        try:
            if compiled:
                _build(tree, mutation)
            outcome, by, _ = runner.run(mutation.tests, LIMIT, mutation.settings)
        finally:
            change(path, good.encode())
        chosen = [by, *(argument for argument in mutation.tests if not argument.startswith("tests/"))]
        if by and not compiled and runner.run(chosen, LIMIT, mutation.settings)[0] != "survived":
            raise ValueError(f"drill_mutations.toml: {by} fails without a change, see {runner.log}")
        yield mutation, "" if outcome == "survived" else by or outcome


def _build(tree: Path, mutation: Mutation) -> None:
    if not mutation.file.endswith(".cc"):  # who includes it is not known: all of them
        shutil.rmtree(tree / "build", ignore_errors=True)
    settings = {**os.environ, "QSR_REQUIRE_KERNELS": "1", "QSR_OPTIMISE": "-O1"}
    done = subprocess.run([sys.executable, "-c", BUILD], cwd=tree, env=settings, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"drill_mutations.toml: {mutation.drill}, {mutation.breaks}: does not compile\n{done.stderr[-2000:]}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", nargs="+", metavar="DRILL")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, help="take them in another order: another beginning within the minutes")
    options = parser.parse_args(arguments)
    chosen = [one for one in read() if not options.only or one.drill in options.only]
    if options.seed is not None:
        random.Random(options.seed).shuffle(chosen)
    uncaught = done = 0
    for mutation, by in run(chosen, 60 * options.minutes):
        print(f"{mutation.drill:3} {mutation.breaks} ({mutation.file}): {by or 'NOTHING CAUGHT IT'}", flush=True)
        uncaught += not by
        done += 1
    print(f"{done} of {len(chosen)} mutations, {uncaught} not caught")
    if missing := drills_with_tests() - {one.drill for one in read()}:
        print(f"drills without a mutation: {', '.join(sorted(missing))}")
    return 1 if uncaught or not done else 0


if __name__ == "__main__":
    sys.exit(main())
