"""Shares of lines and branches by room: python tests/coverage_shares.py FILE (of `coverage json`).

Exit code 1 below what is asked. `coverage report` has one number for both, in which many covered lines hide the branches.
"""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LINES, BRANCHES = 95.0, 90.0  # per cent of all of qsr/


def shares(data: Mapping[str, Any]) -> dict[str, Counter[str]]:
    """Counts of lines, branches, and those covered, for each room (`qsr/quant`) and for `all`."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for name, facts in data["files"].items():
        parts = Path(name).parts
        room = "/".join(parts[:2]) if len(parts) > 2 else "qsr"
        own = facts["summary"]
        for key in (room, "all"):
            found[key].update(
                lines=own["num_statements"],
                lines_covered=own["covered_lines"],
                branches=own["num_branches"],
                branches_covered=own["covered_branches"],
            )
    return {**{name: found[name] for name in sorted(found.keys() - {"all"})}, "all": found["all"]}


def per_cent(counts: Mapping[str, int], what: str) -> float:
    return 100.0 * counts[f"{what}_covered"] / counts[what] if counts[what] else 100.0


def table(found: Mapping[str, Mapping[str, int]]) -> str:
    """Markdown, one row per room."""
    lines = ["| room | lines | covered | branches | covered |", "| --- | ---: | ---: | ---: | ---: |"]
    for name, counts in found.items():
        cells = [f"{counts[what]:,} | {per_cent(counts, what):.1f} %" for what in ("lines", "branches")]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(file: str) -> int:
    found = shares(json.loads(Path(file).read_text(encoding="utf-8")))
    print(table(found))
    enough = per_cent(found["all"], "lines") >= LINES and per_cent(found["all"], "branches") >= BRANCHES
    if not enough:
        print(f"less than {LINES:g} % of the lines or {BRANCHES:g} % of the branches")
    return 0 if enough else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
