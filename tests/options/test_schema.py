"""Properties of the whole schema that the loader and the documentation rely on."""

from __future__ import annotations

import types
import typing
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from qsr.options import Options, load
from qsr.options.schema import BasicSRNetwork
from qsr.options.schema_walk import every_section
from qsr.options.yaml_lines import KeyPath

SECTIONS = every_section()
NAMES = [".".join(map(str, path)) + ":" + model.__name__ for path, model in SECTIONS]


def may_be_none(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType) and type(None) in typing.get_args(annotation)


@pytest.mark.parametrize(("path", "model"), SECTIONS, ids=NAMES)
def test_every_key_is_described(path: KeyPath, model: type[BaseModel]) -> None:
    for name, field in model.model_fields.items():
        assert field.description, f"{path}.{name} has no description"
        assert field.description.endswith(".") or "..." in field.description


@pytest.mark.parametrize(("path", "model"), SECTIONS, ids=NAMES)
def test_what_may_be_empty_is_empty_by_default(path: KeyPath, model: type[BaseModel]) -> None:
    """The loader takes `key: ~` out, which is the same thing only if None is the default wherever it is allowed."""
    for name, field in model.model_fields.items():
        if may_be_none(field.annotation):
            assert field.default is None, f"{path}.{name}"


@pytest.mark.parametrize(("path", "model"), SECTIONS, ids=NAMES)
def test_sections_are_frozen_and_closed(path: KeyPath, model: type[BaseModel]) -> None:
    assert model.model_config["frozen"] is True
    assert model.model_config["extra"] == ("allow" if model is BasicSRNetwork else "forbid")


def test_options_cannot_be_changed(valid: Path) -> None:
    options = load(valid).options
    with pytest.raises(ValidationError, match="frozen"):
        options.scale = 4  # type: ignore[misc]


def test_numbers_are_not_turned_into_text_nor_text_cut() -> None:
    with pytest.raises(ValidationError):
        Options.model_validate({"name": 3, "scale": 2, "network_g": {"type": "EDSR"}})
