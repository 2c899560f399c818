"""`qsr options show`: the resolved options as YAML, each value with the place it comes from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from qsr.options.loader import Resolved
from qsr.options.yaml_lines import plain_scalar

WIDEST_COLUMN = 60  # comments are aligned at most here; longer lines push theirs out


def show(resolved: Resolved) -> str:
    """YAML text that loads to the same options, with `# file:line`, `# --set` or `# default` behind every value."""
    lines = list(_lines(resolved.options.to_json(), "", 0, resolved))
    width = min(WIDEST_COLUMN, max((len(text) for text, origin in lines if origin), default=0))
    shown = [f"{text:<{width}}  # {origin}" if origin else text for text, origin in lines]
    ignored = [f"# {item}" for item in resolved.ignored]
    return "\n".join([*shown, *ignored]) + "\n"


def to_yaml(value: dict[str, Any]) -> str:
    """Plain values (a nest of dicts, lists and scalars) as YAML that this package reads back unchanged."""
    return "\n".join(text for text, _ in _lines(value, "", 0, None)) + "\n"


def _lines(section: dict[str, Any], prefix: str, depth: int, resolved: Resolved | None) -> Iterator[tuple[str, str]]:
    """(line of YAML, origin of its value); the headings of sections have no origin."""
    for name, value in section.items():
        key = f"{prefix}{name}"
        label = "  " * depth + _scalar(name) + ":"
        if isinstance(value, dict) and value:
            yield label, ""
            yield from _lines(value, key + ".", depth + 1, resolved)
        else:
            yield f"{label} {_flow(value)}", _origin(key, resolved)


def _origin(key: str, resolved: Resolved | None) -> str:
    return "" if resolved is None else str(resolved.origins.get(key, "default"))


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(k)}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    """A scalar so that `plain_scalar` gives it back; text that could be taken for something else is quoted."""
    if value is None:
        return "~"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value).replace("inf", ".inf").replace("nan", ".nan")
    if isinstance(value, int):
        return repr(value)
    plain = value.replace("_", "").replace("-", "").replace("/", "").replace(".", "").isalnum() and value.isascii()
    unmistakable = plain and value[0].isalnum() and plain_scalar(value) == value
    return value if unmistakable else _quoted(value)


def _quoted(text: str) -> str:
    """JSON's quotes, which YAML shares; but YAML has no surrogate pairs, and wants what cannot be printed escaped."""
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in quoted)
