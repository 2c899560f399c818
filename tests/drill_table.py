"""Writes the table of docs/reliability.md from what the drills left: python tests/drill_table.py [FOLDER]

One row per drill: the promise, the tests, runs and failures of the newest run of each test in each mode, and the date. A drill
that was not run says so.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.drill import PROMISES, REPOSITORY, RESULTS

PAGE = REPOSITORY / "docs" / "reliability.md"
BEGIN, END = "<!-- drills: begin -->", "<!-- drills: end -->"


def read(folder: Path) -> list[dict[str, Any]]:
    """The JSON files of a folder of results."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]


def table(found: Iterable[Mapping[str, Any]]) -> str:
    """The Markdown table over all numbers."""
    of: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for facts in found:
        for number in facts["numbers"]:
            of[number].append(facts)
    lines = ["| | promise | tests | per push | nightly | failures | date |", "| --- | --- | --- | ---: | ---: | ---: | --- |"]
    lines += [_row(number, promise, of[number]) for number, promise in PROMISES.items()]
    return "\n".join(lines)


def _row(number: str, promise: str, facts: Sequence[Mapping[str, Any]]) -> str:
    # a parametrised test is one file of the list, whatever its cases
    tests = sorted({f"`{one['test'].split('::')[0].removeprefix('tests/')}`" for one in facts})
    failed = sum(one["outcome"] == "failed" for one in facts)
    dates = sorted({one["made"] for one in facts})
    cells = (number, promise, ", ".join(tests) or "-", _runs(facts, "push"), _runs(facts, "nightly"))
    return "| " + " | ".join((*cells, str(failed) if facts else "-", dates[-1] if dates else "not run")) + " |"


def _runs(facts: Sequence[Mapping[str, Any]], mode: str) -> str:
    """Runs in a mode; `(skipped)` where a test could not run on the machine, `*` where the time was up before the count."""
    mine = [one for one in facts if one["mode"] == mode]
    runs = sum(one["runs"] for one in mine if one["outcome"] != "skipped")
    skipped = sum(one["outcome"] == "skipped" for one in mine)
    early = "*" if any(one["stopped_early"] for one in mine) else ""
    return (f"{runs:,}{early}" if runs else "-") + (f" ({skipped} skipped)" if skipped else "")


def write(page: Path, made: str) -> None:
    """Put the table between the page's two marks."""
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{made}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    write(PAGE, table(read(Path(sys.argv[1]) if len(sys.argv) > 1 else RESULTS)))
