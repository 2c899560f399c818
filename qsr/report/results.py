"""The files of one evaluation: results/<name>/{metrics.json, metrics.csv, table.md}."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qsr.files import write_atomic
from qsr.report.tables import csv_text, markdown

FILES = {"metrics.json": "json", "metrics.csv": "csv", "table.md": "md"}


def render(results: Mapping[str, Any], form: str) -> str:
    """`results` as "json", "csv" or "md" text. The JSON is strict: no NaN, no Infinity."""
    if form == "json":
        return json.dumps(results, indent=1, allow_nan=False) + "\n"
    return {"csv": csv_text, "md": markdown}[form](results)


def write_results(results: Mapping[str, Any], folder: Path, extra: Mapping[str, Path | None] | None = None) -> list[Path]:
    """Write the three files, and copies that were asked for by form ({"json": path}); returns what was written.

    Raises EnvironmentFault where a folder cannot be written to.
    """
    targets = [(folder / name, form) for name, form in FILES.items()]
    targets += [(path, form) for form, path in (extra or {}).items() if path is not None]
    for path, form in targets:
        write_atomic(path, render(results, form).encode())
    return [path for path, _ in targets]
