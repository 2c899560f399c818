"""Two descriptions of the schema made from it: a JSON schema for editors, and docs/options.md for readers."""

from __future__ import annotations

import types
import typing
from typing import Any

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from qsr.options.schema import LayerRule, Options
from qsr.options.schema_walk import ANY, every_section
from qsr.options.yaml_lines import KeyPath
from qsr.spec import METHODS

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"

INTRODUCTION = """# Options

One YAML file describes an experiment. The tables below are made from the schema by `qsr options docs`; do not edit them.

- Keys are BasicSR's where BasicSR has one, so option files of its SRModel kind load unchanged. Keys of theirs that mean
  nothing here are listed once and passed over. What is left out takes the default below, which is not always theirs
  (`ema_decay` is on here).
- `base: other.yml`, or a list of files, is merged underneath section by section; the path is relative to the file that
  names it. `key: ~` puts a key back to its default.
- `--set quant.w_bits=4` (or `--force_yml quant:w_bits=4`) overrides a key on the command line; the value is YAML.
- `2e-4` is a number. Duplicate keys and unknown keys are errors, and every error comes with file and line.
- `qsr options show FILE` prints everything that is in force and where each value comes from;
  `qsr options schema > qsr.schema.json` serves editors, for instance with
  `# yaml-language-server: $schema=qsr.schema.json` as the first line of an option file.
"""


def json_schema() -> dict[str, Any]:
    """The JSON schema of an option file, `base` included."""
    schema = _laid_over(Options.model_json_schema())
    names = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
    schema["properties"] = {"base": {**names, "description": "Files merged underneath."}, **schema["properties"]}
    return {"$schema": SCHEMA_DIALECT, **schema, "title": "qsr option file"}


def _laid_over(schema: Any) -> Any:
    """The schema of a file that may leave any key to its `base`: nothing required, and a network's kind left open."""
    if isinstance(schema, list):
        return [_laid_over(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    renamed = {"anyOf" if key == "oneOf" else key: _laid_over(value) for key, value in schema.items()}
    return {key: value for key, value in renamed.items() if key != "required" or not isinstance(value, list)}


def markdown() -> str:
    """The text of docs/options.md."""
    parts = [INTRODUCTION]
    for path, model in every_section():
        parts.append(_section(path, model))
    parts.append(_methods())
    return "\n".join(parts)


def _section(path: KeyPath, model: type[BaseModel]) -> str:
    title = "`" + ".".join("NAME" if part == ANY else str(part) for part in path) + "`" if path else "Top level"
    if model is LayerRule:
        title = "Each of `quant.rules`"
    if path == ("network_g",):
        title += f" for {model.__name__}"
    lines = [f"## {title}", ""]
    doc = (model.__doc__ or "").strip().partition("\n")[0]
    if path and doc and model.__doc__ != BaseModel.__doc__:
        lines += [doc, ""]
    lines += ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    for name, field in model.model_fields.items():
        cells = (f"`{name}`", _type(field), _default(field), field.description or "")
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*lines, ""])


def _methods() -> str:
    lines = [
        "## Quantizers",
        "",
        "| `quant.method` | weight bits | activation bits | what it is |",
        "| --- | --- | --- | --- |",
    ]
    for name, method in METHODS.items():
        bits = (f"{low}-{high}" for low, high in (method.w_bits, method.a_bits))
        lines.append(f"| `{name}` | {' | '.join(bits)} | {method.title} |")
    return "\n".join([*lines, ""])


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel) or value == {}:
        return "see below"
    if value is None:
        return ""
    return f"`{_plain(value)}`"


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(_plain(item) for item in value) + "]"
    return str(value) if value != "" else '""'


def _type(field: FieldInfo) -> str:
    limits = _limits(field.metadata)
    return _name(field.annotation) + (f" {limits}" if limits else "")


def _name(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        limits = _limits(getattr(arguments[1], "metadata", arguments[1:]))
        return _name(arguments[0]) + (f" {limits}" if limits else "")
    if origin is typing.Literal:
        return ", ".join(f"`{item}`" for item in arguments)
    if origin in (typing.Union, types.UnionType):
        names = [_name(item) for item in arguments if item is not type(None)]
        return " or ".join(dict.fromkeys(names))
    if origin is tuple:
        items = [item for item in arguments if item is not ...]
        count = "" if ... in arguments else f"{len(items)} x "
        return f"list of {count}{_name(items[0])}"
    if origin is dict:
        return f"section per name: {_name(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    return {int: "whole number", float: "number", bool: "true or false", str: "text"}.get(annotation, str(annotation))


_BOUNDS = {annotated_types.Gt: "gt", annotated_types.Ge: "ge", annotated_types.Lt: "lt", annotated_types.Le: "le"}
_SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}


def _limits(metadata: Any) -> str:
    bounds = [(_BOUNDS[type(item)], item) for item in metadata if type(item) in _BOUNDS]
    return ", ".join(f"{_SIGNS[name]} {getattr(item, name)}" for name, item in bounds)
