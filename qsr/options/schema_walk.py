"""The schema as a list of sections: which model stands behind `train.optim_g`, and all of them in file order."""

from __future__ import annotations

import functools
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from qsr.options.schema import Options
from qsr.options.yaml_lines import KeyPath

ANY = "*"  # stands for the free names in `datasets` and `val.metrics`, and for the items of a list


@functools.cache
def every_section() -> tuple[tuple[KeyPath, type[BaseModel]], ...]:
    """(path, model) of every section in file order; `network_g` comes once for each kind of network."""
    return tuple(_sections((), Options))


def section_at(path: KeyPath, network: str | None = None) -> type[BaseModel] | None:
    """The model behind a written path, None where there is none; `network` is schema.network_kind of the file."""
    for pattern, model in every_section():
        fits = len(pattern) == len(path) and all(p in (ANY, str(q)) for p, q in zip(pattern, path, strict=True))
        if fits and (path != ("network_g",) or model.__name__ == network):
            return model
    return None


def _sections(path: KeyPath, model: type[BaseModel]) -> Iterator[tuple[KeyPath, type[BaseModel]]]:
    yield path, model
    for name, field in model.model_fields.items():
        for inner, child in _models((*path, name), field.annotation):
            yield from _sections(inner, child)


def _models(path: KeyPath, annotation: Any) -> Iterator[tuple[KeyPath, type[BaseModel]]]:
    """The sections that a field's type mentions: `Quant | None`, `dict[str, Dataset]`, `tuple[LayerRule, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield path, annotation
        return
    inner = (*path, ANY) if typing.get_origin(annotation) in (dict, tuple) else path
    for argument in typing.get_args(annotation):
        yield from _models(inner, argument)
