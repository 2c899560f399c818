"""Examples in docstrings are run, except those marked +SKIP because they need files of the reader's."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def has_examples(path: Path) -> bool:
    return any(">>> " in line and "+SKIP" not in line for line in path.read_text().splitlines())


WITH_EXAMPLES = [path for path in sorted((REPOSITORY / "qsr").rglob("*.py")) if has_examples(path)]


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=module_name)
def test_examples(path: Path) -> None:
    result = doctest.testmod(importlib.import_module(module_name(path)))
    assert result.attempted > 0
    assert result.failed == 0
