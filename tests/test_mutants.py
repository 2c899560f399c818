"""The makers of mutants: which changes they make and which not, how they are drawn, and that one is killed and one survives."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutants import Mutant, mutants_of
from tests.mutate import draw, summary
from tests.tree_copy import REPOSITORY

SOURCE = '''"""A text: 1 < 2."""
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    LIMIT = 3

@keep(1)
def f(a: int | None = 4, *, b=True) -> "x < y":
    """Says 1."""
    if not a and b <= 2:
        raise ValueError(f"{a + 1} or {b < 2}")
    while a < 9:
        a += 2
    os.kill(a, 0)
    return isinstance(a, int | float), "é" if a is None else -a ** 2
'''


def changes(source: str) -> set[tuple[int, str, str]]:
    return {(one.line, one.before, one.after) for one in mutants_of("f.py", source.encode())}


def test_what_is_changed_and_what_is_left_alone() -> None:
    assert changes(SOURCE) == {
        *{(7, "4", "5"), (7, "4", "(3)"), (7, "True", "False")},
        *{(9, "not a and b <= 2", "(not (not a and b <= 2))"), (9, "not a and b <= 2", "(not a or b <= 2)")},
        *{(9, "not a", "(a)"), (9, "b <= 2", "(b < 2)"), (9, "2", "3"), (9, "2", "(1)")},
        (10, 'raise ValueError(f"{a + 1} or {b < 2}")', "pass"),
        *{(11, "a < 9", "(a <= 9)"), (11, "a < 9", "(not a < 9)"), (11, "9", "10"), (11, "9", "(8)")},
        *{(12, "a += 2", "pass"), (12, "2", "3"), (12, "2", "(1)")},
        (13, "os.kill(a, 0)", "pass"),
        (14, 'return isinstance(a, int | float), "é" if a is None else -a ** 2', "return None"),
        *{(14, "a is None", "(a is not None)"), (14, "-a ** 2", "(a ** 2)"), (14, "a ** 2", "(a * 2)")},
        *{(14, "2", "3"), (14, "2", "(1)")},
    }


def test_a_mutant_changes_its_place_and_only_in_its_file() -> None:
    source = "é = 1; x = 1\n".encode()
    assert [one.apply(source).decode() for one in mutants_of("f.py", source)] == [
        *("é = (0); x = 1\n", "é = 2; x = 1\n"),
        *("é = 1; x = (0)\n", "é = 1; x = 2\n"),
    ]
    with pytest.raises(ValueError, match="f.py:1: '1' is not there any more"):
        mutants_of("f.py", source)[0].apply(b"x = 10\n")


def test_every_beginning_of_the_list_is_even_and_the_seed_decides() -> None:
    def some(file: str, count: int) -> list[Mutant]:
        return [Mutant(file, line, 0, "1", "2") for line in range(count)]

    mutants = {"a": {"a1.py": some("a1.py", 60), "a2.py": some("a2.py", 20)}, "b": {"b.py": some("b.py", 80)}}
    drawn = [mutant for _, mutant in draw(mutants, seed=3)]
    assert len(set(drawn)) == len(drawn) == 160
    files = [mutant.file for mutant in drawn[:40]]
    assert (files.count("b.py"), files.count("a1.py"), files.count("a2.py")) == (20, 15, 5)
    assert [mutant for _, mutant in draw(mutants, seed=3)] == drawn
    assert [mutant for _, mutant in draw(mutants, seed=4)] != drawn


def test_the_summary_counts_by_file_and_lists_who_lives() -> None:
    found = [
        {"file": "a.py", "line": 3, "before": "x", "after": "y", "outcome": outcome}
        for outcome in ("killed", "killed", "survived", "timed out")
    ]
    text = summary(found, total=9, seed=1)
    assert "4 of 9 mutants, seed 1." in text
    assert "| a.py | 4 | 2 | 1 | 1 |" in text
    assert "- `a.py:3` `x` -> `y`" in text


def test_failing_tests_kill_passing_ones_do_not_and_endless_ones_are_ended(tmp_path: Path) -> None:
    """In a process of its own: a Runner changes the path and the variables of the one that it is made in."""
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "test_one.py").write_text(
        "def test_good(): pass\ndef test_bad(): assert False\ndef test_long():\n    while True: pass\n"
    )
    code = f"""
import json, sys
from pathlib import Path
sys.path.insert(0, {str(REPOSITORY)!r})
from tests.mutate import Runner
runner = Runner(Path({str(tree)!r}), slow=())
print(json.dumps([runner.run(["test_one.py::test_" + name], 5)[:2] for name in ("good", "bad", "long")]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [
        ["survived", ""],
        ["killed", "test_one.py::test_bad"],
        ["timed out", ""],
    ]
