"""A result holds while options, pictures and code are the same, wherever they lie."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from board_drill import BOARD, plan

from qsr.leaderboard import identity
from qsr.leaderboard.identity import Identities, Identity, bare_source, code_version, folder_hash

ROWS: list[dict[str, Any]] = BOARD["rows"]


def identity_of(folder: Path, data: Path, name: str = "rlq_w2a2_s0", **changes: Any) -> Identity:
    folder.mkdir(exist_ok=True)
    made = plan(folder, data, **changes)
    return Identities(made).of(made.by_name[name])


def test_places_do_not_count(tmp_path: Path, data: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(data, moved)
    assert identity_of(tmp_path / "a", data) == identity_of(tmp_path / "b", moved)


def test_options_of_the_row_and_of_its_start_count(tmp_path: Path, data: Path) -> None:
    before = identity_of(tmp_path, data)
    assert identity_of(tmp_path, data, "rlq_w2a2_s1").options != before.options
    own = [{**ROWS[0], "set": {"quant": {"method": "rlq", "k": 1}}}, *ROWS[1:]]
    assert identity_of(tmp_path, data, rows=own).options != before.options
    longer = {**BOARD["budget"], "start_iterations": 7}
    assert identity_of(tmp_path, data, budget=longer).options != before.options
    assert identity_of(tmp_path, data, set={"logger.print_freq": 3}) == before


def test_pictures_count_by_content(tmp_path: Path, data: Path) -> None:
    before = identity_of(tmp_path / "a", data)
    moved = tmp_path / "moved"
    shutil.copytree(data, moved)
    shutil.copy(moved / "Few/0.png", moved / "Few/1.png")
    other = identity_of(tmp_path / "b", moved)
    assert (other.data != before.data, other.sets == before.sets) == (True, True)
    (moved / "Out/0.png").unlink()
    shutil.copy(moved / "Few/2.png", moved / "Out/0.png")
    folder_hash.cache_clear()
    assert identity_of(tmp_path / "c", moved).sets != before.sets


def test_what_may_go_on_and_what_counts() -> None:
    one = Identity("o", "d", "s", "t", "c")
    assert one.same_result(one.to_json(), any_code=False)
    assert one.same_experiment({**one.to_json(), "code": "measured otherwise", "sets": "more"}, any_code=False)
    assert not one.same_result({**one.to_json(), "sets": "more"}, any_code=True)
    assert not one.same_result({**one.to_json(), "code": "other"}, any_code=False)
    assert one.same_result({**one.to_json(), "code": "other", "training": "other"}, any_code=True)
    assert not one.same_experiment({**one.to_json(), "training": "other"}, any_code=False)
    assert not one.same_experiment({**one.to_json(), "options": "other"}, any_code=True)
    assert not one.same_experiment({}, any_code=True)


def test_comments_and_docstrings_are_no_code() -> None:
    plain = "def f(x):\n    return x + 1\n"
    assert bare_source('"""Module."""\n# why\ndef f(x):\n    """What."""\n    return (x\n        + 1)\n') == bare_source(plain)
    assert bare_source(plain.replace("1", "2")) != bare_source(plain)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the rooms that decide numbers."""
    for room in ("quant", "archs", "data", "train", "evaluate"):
        shutil.copytree(identity.PACKAGE / room, tmp_path / "qsr" / room, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(identity, "PACKAGE", tmp_path / "qsr")
    return tmp_path / "qsr"


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("quant/rlq.py", True),
        ("quant/base.py", True),
        ("quant/learned_step.py", True),
        ("quant/bnn.py", False),
        ("train/ema.py", True),
        ("train/progress.py", False),
        ("data/resize.py", True),
        ("data/add.py", False),
        ("evaluate/metrics.py", False),
    ],
)
def test_only_code_that_decides_the_rows_weights_counts(package: Path, file: str, changes: bool) -> None:
    code_version.cache_clear()
    before = code_version(("rlq",), identity.TRAINING_ROOMS)
    with open(package / file, "a") as source:
        source.write("\nADDED = 1\n")
    code_version.cache_clear()
    assert (code_version(("rlq",), identity.TRAINING_ROOMS) != before) is changes
    code_version.cache_clear()


def test_a_new_quantizer_leaves_the_others_alone(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from qsr.spec import METHODS, Method

    code_version.cache_clear()
    before = code_version(("rlq",), identity.TRAINING_ROOMS)
    (package / "quant/brand_new.py").write_text("X = 1\n")
    monkeypatch.setitem(METHODS, "brand_new", Method("qsr.quant.brand_new:BrandNew", (1, 1), (1, 1), "new"))
    code_version.cache_clear()
    assert code_version(("rlq",), identity.TRAINING_ROOMS) == before
    assert code_version(("brand_new",), identity.TRAINING_ROOMS) != before
    code_version.cache_clear()
