"""The judge of `make coverage`: rooms are added up, and too few lines or too few branches are an error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.coverage_shares import main, shares, table


def report(folder: Path, lines: int, branches: int) -> Path:
    def file(covered_lines: int, covered_branches: int) -> dict:
        counts = {
            "num_statements": 50,
            "covered_lines": covered_lines,
            "num_branches": 20,
            "covered_branches": covered_branches,
        }
        return {"summary": counts}

    files = {"qsr/quant/a.py": file(lines, branches), "qsr/quant/deep/b.py": file(50, 20), "qsr/errors.py": file(50, 20)}
    path = folder / "coverage.json"
    path.write_text(json.dumps({"files": files}))
    return path


def test_files_are_added_up_by_room(tmp_path: Path) -> None:
    text = table(shares(json.loads(report(tmp_path, 40, 10).read_text())))
    assert text.splitlines()[2:] == [
        "| qsr | 50 | 100.0 % | 20 | 100.0 % |",
        "| qsr/quant | 100 | 90.0 % | 40 | 75.0 % |",
        "| all | 150 | 93.3 % | 60 | 83.3 % |",
    ]


@pytest.mark.parametrize(("lines", "branches", "code"), [(43, 14, 0), (42, 20, 1), (50, 13, 1)])
def test_lines_and_branches_are_judged_apart(tmp_path: Path, lines: int, branches: int, code: int) -> None:
    assert main(str(report(tmp_path, lines, branches))) == code
