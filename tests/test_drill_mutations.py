"""The table of broken promises: it fits the sources (every push), and each is caught by its drill (nightly)."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.drill import PROMISES
from tests.drill_mutations import Mutation, drills_with_tests, read

MUTATIONS = read()
MINUTES = float(os.environ.get("QSR_MUTATION_MINUTES", "30"))


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda one: f"{one.drill} {one.breaks}")
def test_it_fits_the_sources(mutation: Mutation, repository: Path) -> None:
    assert mutation.drill in PROMISES
    source = (repository / mutation.file).read_text(encoding="utf-8")
    assert mutation.applied(source) != source
    for name in mutation.tests:
        if name.startswith("tests/"):
            file, *parts = name.split("::")
            assert (repository / file).exists()
            assert all(part.split("[")[0] in (repository / file).read_text(encoding="utf-8") for part in parts)


def test_a_change_that_is_not_there_is_told() -> None:
    mutation = Mutation("T2", "nothing", "a.py", "x = 1", "x = 2", ())
    assert mutation.applied("x = 1\n") == "x = 2\n"
    for source in ("", "x = 1; x = 1"):
        with pytest.raises(ValueError, match=f"T2, nothing: `before` is {source.count('x')} times in a.py"):
            mutation.applied(source)


@pytest.mark.nightly
@pytest.mark.timeout(60 * MINUTES + 3000)
def test_every_broken_promise_is_caught(repository: Path) -> None:
    """As many as the minutes allow, in another order each night."""
    seed = random.randrange(2**32)
    command = [sys.executable, "tests/drill_mutations.py", "--minutes", str(MINUTES), "--seed", str(seed)]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.nightly
def test_every_drill_was_seen_to_fail() -> None:
    assert drills_with_tests() - {one.drill for one in MUTATIONS} == set()
