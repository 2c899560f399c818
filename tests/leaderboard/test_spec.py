"""The leaderboard file: what it says, and what is said about a wrong one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from board_drill import BOARD, write_board

from qsr.errors import OptionsError
from qsr.leaderboard.spec import Resources, read

ROWS: list[dict[str, Any]] = BOARD["rows"]


def complaint(folder: Path, **changes: Any) -> str:
    with pytest.raises(OptionsError) as caught:
        read(write_board(folder, **changes))
    return str(caught.value)


def test_a_row_takes_its_start_from_its_group(tmp_path: Path) -> None:
    board, _ = read(write_board(tmp_path))
    assert board.start_of(board.row("rlq_w2a2")) == "fp"
    assert board.start_of(board.row("fp")) is None
    assert board.group_of(board.row("fp")).set == {}


def test_what_is_trained_for_the_length_of_a_start_is_none_of_its_group(tmp_path: Path) -> None:
    rows = [{"row": "fp", "group": "w2a2", "length": "start"}, *ROWS[::2]]
    board, _ = read(write_board(tmp_path, rows=rows))
    assert board.start_of(board.row("fp")) is None
    assert board.start_of(board.row("lsq_w2a2")) == "fp"


def test_resources_come_from_the_row_its_group_or_the_file(tmp_path: Path) -> None:
    rows = [*ROWS, {"row": "own", "group": "w2a2", "resources": {"gpus": 2}}]
    groups = {"w2a2": {"start": "fp", "resources": {"cpus": 3}}}
    board, _ = read(write_board(tmp_path, rows=rows, groups=groups, resources={"cpus": 5}))
    assert board.resources_of(board.row("own")) == Resources(cpus=1, gpus=2)
    assert board.resources_of(board.row("rlq_w2a2")).cpus == 3
    assert board.resources_of(board.row("fp")).cpus == 5


def test_every_problem_is_told_with_its_line(tmp_path: Path) -> None:
    rows = [{**ROWS[0], "lenght": "start"}, {"row": "fp"}, {**ROWS[2], "depths": "four"}]
    text = complaint(tmp_path, rows=rows)
    file = (tmp_path / "board.yml").read_text().splitlines()
    assert "3 problems" in text
    misspelt = next(i for i, line in enumerate(file, 1) if "lenght" in line)
    assert f"board.yml:{misspelt}  rows.0.lenght: unknown key (did you mean length?)" in text
    assert "rows.1.group: missing; Rows of a group are compared with each other." in text
    assert "rows.2.depths: found 'four'" in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rows": [ROWS[1], ROWS[1]]}, "rows.1.row: fp appears twice"),
        ({"rows": [ROWS[1], {**ROWS[0], "start": "fpp"}]}, "rows.1.start: no row fpp (did you mean fp?)"),
        ({"rows": [{**ROWS[0], "start": "rlq_w2a2"}, ROWS[1]]}, "starts, in the end, from itself"),
        ({"rows": [ROWS[1], {"row": "p", "group": "ptq", "kind": "ptq"}]}, "rows.1.start: missing; a ptq row"),
        ({"pictures": ["Urban100/img_001"]}, "expected SET/NAME with one of Held, Out"),
        ({"rows": []}, "rows"),
        ({"seeds": [0, -1]}, "seeds.1"),
        ({"scale": 5}, "scale"),
    ],
)
def test_what_cannot_be(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    assert words in complaint(tmp_path, **change)


def test_a_circle_that_a_row_only_leads_into_is_found_too(tmp_path: Path) -> None:
    rows = [{"row": "a", "group": "g", "start": "b"}, {"row": "b", "group": "g", "start": "c"}]
    text = complaint(tmp_path, rows=[*rows, {"row": "c", "group": "g", "start": "b"}])
    assert "rows.1.start: b starts, in the end, from itself" in text


def test_another_scale_is_three_lines(tmp_path: Path) -> None:
    write_board(tmp_path)
    other = tmp_path / "x4.yml"
    other.write_text("base: board.yml\nname: tiny_x4\nscale: 4\n")
    board, tree = read(other)
    assert (board.name, board.scale, len(board.rows)) == ("tiny_x4", 4, 3)
    assert str(tree.origin(("rows", 1))).startswith(str(tmp_path / "board.yml:"))
