"""docs/limits.md lists every limit that the code has, with its value; and limits that can be raised are."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import numpy as np
import pytest

from qsr.data.image import decode_rgb, encode_png
from qsr.errors import DataError, OptionsError
from qsr.quantities import raised

ROW = re.compile(r"^\|[^|]+\| ([\d,.]+) \| `(qsr\.[\w.]+)\.(MAX_\w+)` \|", re.MULTILINE)


def listed(repository: Path) -> dict[str, float]:
    text = (repository / "docs" / "limits.md").read_text(encoding="utf-8")
    rows = [(f"{module}.{name}", float(value.replace(",", ""))) for value, module, name in ROW.findall(text)]
    assert len(dict(rows)) == len(rows), "a limit is listed twice"
    assert text.count(".MAX_") == len(rows), "a row is not as the others"
    return dict(rows)


def in_the_code(repository: Path) -> dict[str, float]:
    """Constants of modules; an import of one from another module is none."""
    found: dict[str, float] = {}
    for path in sorted((repository / "qsr").rglob("*.py")):
        module = ".".join(path.relative_to(repository).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
            for target in targets:
                for each in ast.walk(target):
                    if isinstance(each, ast.Name) and each.id.startswith("MAX_"):
                        found[f"{module}.{each.id}"] = float(getattr(importlib.import_module(module), each.id))
    return found


def test_the_page_lists_every_limit_with_its_value(repository: Path) -> None:
    pytest.importorskip("uvicorn")
    page, code = listed(repository), in_the_code(repository)
    assert len(code) > 40
    assert page.keys() - code.keys() == set(), "on the page, but not in the code"
    assert code.keys() - page.keys() == set(), "in the code, but not on the page: describe it in docs/limits.md"
    assert page == code


def test_variables_on_the_page_are_those_that_are_read(repository: Path) -> None:
    text = (repository / "docs" / "limits.md").read_text(encoding="utf-8")
    sources = "".join(path.read_text(encoding="utf-8") for path in (repository / "qsr").rglob("*.py"))
    assert set(re.findall(r"`(QSR_MAX_\w+)", text)) == set(re.findall(r'"(QSR_MAX_\w+)"', sources))


def test_a_limit_is_raised_and_lowered_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    png = encode_png(np.zeros((20, 30, 3), np.uint8))
    monkeypatch.setenv("QSR_MAX_PIXELS", "599")
    with pytest.raises(DataError, match=r"30 x 20 pixels are more than the limit of 599 \(set QSR_MAX_PIXELS=NUMBER"):
        decode_rgb(png, "a.png")
    monkeypatch.setenv("QSR_MAX_PIXELS", "600")
    assert decode_rgb(png, "a.png").shape == (20, 30, 3)


@pytest.mark.parametrize("text", ["0", "-1", "1e9", "many", "1001", "9" * 5000, "²"])
def test_a_variable_that_says_no_number_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("QSR_MAX_THINGS", text)
    with pytest.raises(OptionsError, match="QSR_MAX_THINGS: found .*, expected a whole number from 1 to 1,000"):
        raised(10, "QSR_MAX_THINGS", 1000)


def test_a_variable_may_have_separators(monkeypatch: pytest.MonkeyPatch) -> None:
    assert raised(10, "QSR_MAX_THINGS", 1000) == 10
    monkeypatch.setenv("QSR_MAX_THINGS", "1_000")
    assert raised(10, "QSR_MAX_THINGS", 1000) == 1000
