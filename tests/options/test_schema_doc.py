"""The two descriptions made from the schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qsr.options.schema_doc import json_schema, markdown
from qsr.options.schema_walk import every_section
from qsr.spec import METHODS


def test_docs_page_is_current(repository: Path) -> None:
    page = repository / "docs" / "options.md"
    assert page.read_text(encoding="utf-8") == markdown(), "run `qsr options docs`"


def test_every_key_and_quantizer_is_on_the_page() -> None:
    text = markdown()
    for _, model in every_section():
        for name in model.model_fields:
            assert f"| `{name}` |" in text
    for method in METHODS:
        assert f"| `{method}` |" in text


@pytest.mark.parametrize(
    "row",
    [
        "| `scale` | `2`, `3`, `4` | required | Super-resolution factor. |",
        "| `betas` | list of 2 x number >= 0, < 1 | `[0.9, 0.99]` | Adam's betas. |",
        "| `use_hflip` | true or false | `true` | Random horizontal flips of training patches. |",
        "| `lr` | number > 0 | `0.0002` | Learning rate of the weights. |",
    ],
)
def test_rows_read_well(row: str) -> None:
    assert row in markdown().splitlines()


def test_tables_have_four_columns() -> None:
    rows = [line.replace("\\|", "") for line in markdown().splitlines() if line.startswith("|")]
    assert len(rows) > 100
    assert {row.count("|") for row in rows} == {5}


def everything(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, list):
        return [found for item in value for found in everything(item)]
    if isinstance(value, dict):
        return [value, *(found for item in value.values() for found in everything(item))]
    return []


def test_json_schema_suits_files_with_a_base() -> None:
    schema = json.loads(json.dumps(json_schema()))
    assert schema["title"] == "qsr option file"
    assert list(schema["properties"])[:3] == ["base", "name", "model_type"]
    assert schema["additionalProperties"] is False
    for part in everything(schema):
        assert not isinstance(part.get("required"), list)
        assert "oneOf" not in part


def test_json_schema_describes_every_key() -> None:
    definitions = json_schema()["$defs"]
    for path, model in every_section():
        if path:
            assert set(definitions[model.__name__]["properties"]) == set(model.model_fields)
