"""The file of a benchmark: what it may say, and how wrong ones are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qsr.bibench import spec
from qsr.bibench.rows import make
from qsr.data.corrupt import KINDS
from qsr.errors import OptionsError
from tests.bibench.bench_drill import write_bench

OWN = Path(__file__).resolve().parents[2] / "options" / "bibench" / "small.yml"
PAPER = ("bnn", "xnor", "dorefa", "bireal", "xnorpp", "reactnet", "recu", "fda")


def test_the_file_that_ships_has_eight_operators_srb_the_rule_and_three_families(data: Path, tmp_path: Path) -> None:
    bench, _ = spec.read(OWN)
    named = [operator.operator for operator in bench.operators if operator.group == "operator"]
    assert named == [*PAPER, "srb", "suggested"]
    assert list(bench.families) == ["cnn", "transformer", "mlp"]
    assert bench.robust.kinds == KINDS
    assert bench.robust.severities == (1, 2, 3, 4, 5)
    made = make(OWN, tmp_path, data_root=_with_bsd(data, tmp_path))
    assert {task.row.group for task in made.plans["x2"].tasks} == {"start", *bench.families}


def _with_bsd(data: Path, folder: Path) -> Path:
    """The training pictures under the name that the file asks for."""
    root = folder / "sets"
    root.mkdir()
    (root / "BSD400").symlink_to(data / "Few")
    return root


def refusal(folder: Path, **changes: Any) -> str:
    with pytest.raises(OptionsError) as caught:
        spec.read(write_bench(folder, **changes))
    return str(caught.value)


def test_every_problem_is_named_with_its_line(tmp_path: Path) -> None:
    said = refusal(
        tmp_path,
        robust={"sets": ["Held"], "kinds": ["gaussian_nois"], "severities": [1, 6]},
        operators=[
            {"operator": "bnn", "set": {}},
            {"operator": "bnn", "families": ["cn"], "set": {}},
            {"operator": "fp", "set": {}},
        ],
    )
    assert "bnn appears twice" in said
    assert "did you mean cnn?" in said
    assert "fp is the name of a network in full precision" in said
    assert "did you mean gaussian_noise?" in said
    assert "found 6, expected 1 to 5" in said
    assert said.count("bench.yml:") >= 5


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"operatoren": []}, "operatoren"),
        ({"families": {"cnn": {"options": "one_bit.yml"}}}, "start"),
        ({"training": {"grid": {"iterations": 3}}}, "4"),
        ({"training": {"grid": {"set": "Nowhere"}}}, "Nowhere"),
        ({"robust": {"sets": ["Nowhere"]}}, "Nowhere"),
        ({"pictures": ["Elsewhere/0"]}, "SET/NAME"),
        ({"scales": [5]}, "5"),
        ({"seeds": []}, "seeds"),
        ({"training": {"grid": {"schedules": ["linear"]}}}, "linear"),
    ],
)
def test_one_problem_is_one_line(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    said = refusal(tmp_path, **changes)
    assert words in said
    assert "bench.yml" in said


def test_families_of_an_operator_and_of_the_grid_have_defaults(tmp_path: Path) -> None:
    bench, _ = spec.read(write_bench(tmp_path, training={}))
    first, _, part = bench.operators
    assert bench.families_of(first) == ("cnn", "other")
    assert bench.families_of(part) == ("cnn",)
    assert bench.grid_families == ("cnn",)
    assert bench.grid_set == "Held", "the first set"
    assert spec.read(write_bench(tmp_path, robust={}))[0].robust_sets == ("Held",)
