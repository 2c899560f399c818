"""Option files as plain values, with the line of every key: safe, strict YAML with the traps taken out.

Built on libyaml's event stream instead of PyYAML's composer, because the composer recurses in C (a deeply
nested file ends the process) and expands aliases before anyone can count them. Differences from YAML 1.1,
each there because it bites option files: `2e-4` is a number; only `true` and `false` are booleans (so
`amp: off` is the text "off"); a leading zero means nothing; duplicate keys, `<<` and foreign tags are refused.

Not here: what the keys mean (schema.py), `base:` and overrides (loader.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from qsr.errors import OptionsError

MAX_BYTES = 1 << 20  # the largest ready file has 2 KiB
MAX_NODES = 10_000  # aliases count as often as they are used, so an alias bomb stops here; the largest ready file has 200
MAX_DEPTH = 32
LONGEST_NUMBER = 40  # characters; longer digits stay text, for int() of a megabyte takes seconds

KeyPath = tuple[str | int, ...]

_NULL = {"", "~", "null", "Null", "NULL"}
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9][0-9_]*")
_FLOAT = re.compile(r"[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?")
_SPECIAL = {".inf": "inf", "+.inf": "inf", "-.inf": "-inf", ".nan": "nan"}
_STANDARD_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True)
class Document:
    """One YAML document: plain dicts, lists and scalars, and the 1-based line of every key path in it."""

    value: Any
    lines: dict[KeyPath, int]


def read_yaml(path: Path) -> Document:
    """Reads an option file. Raises OptionsError naming file and line for whatever is not a plain, small YAML file."""
    if not path.is_file():
        raise OptionsError("no such option file", where=str(path))
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as fault:
        raise OptionsError(f"cannot be read: {fault.strerror}", where=str(path)) from fault
    return parse_yaml(_decode(raw, str(path)), str(path))


def parse_yaml(text: str, name: str) -> Document:
    """Parses YAML text; `name` stands for the file in error messages. Empty text gives None."""
    try:
        return _Builder(name).build(text)
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark or fault.context_mark
        line = mark.line + 1 if mark else 1
        raise OptionsError(_plain_words(fault, text, line), where=f"{name}:{line}") from None
    except yaml.reader.ReaderError as fault:
        line = text.encode()[: fault.position].count(b"\n") + 1
        raise OptionsError(
            f"control character U+{_code(fault.character):04X} in an option file", where=f"{name}:{line}"
        ) from None


def parse_value(text: str, name: str) -> Any:
    """The value of an override such as `4`, `2e-4`, `[16, 8, 4]` or `{type: AdamW}`."""
    return parse_yaml(text, name).value


def _decode(raw: bytes, name: str) -> str:
    if len(raw) > MAX_BYTES:
        raise OptionsError(f"larger than {MAX_BYTES:,} bytes", where=f"{name}:1", hint="no option file is as large")
    if raw.startswith((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")):
        raise OptionsError("begins with a byte order mark", where=f"{name}:1", hint="save it as UTF-8 without BOM")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as fault:
        line = raw[: fault.start].count(b"\n") + 1
        raise OptionsError(
            f"byte 0x{raw[fault.start]:02x} is not UTF-8", where=f"{name}:{line}", hint="save it as UTF-8"
        ) from None


def _code(character: Any) -> int:
    return character if isinstance(character, int) else ord(character)


def _plain_words(fault: yaml.MarkedYAMLError, text: str, line: int) -> str:
    """libyaml's complaint, turned towards what people do wrong: tabs, and keys that are not aligned."""
    lines = text.splitlines()
    content = lines[line - 1] if line <= len(lines) else ""
    if "\t" in content[: len(content) - len(content.lstrip())]:
        return "a tab in the indentation (YAML wants blanks)"
    problem = fault.problem or "not YAML"
    if problem in ("did not find expected key", "did not find expected <document start>"):
        return "the indentation does not match the lines above"
    if problem == "mapping values are not allowed in this context":
        return "a second ':' or a key that is indented too far"
    begun = fault.context_mark.line + 1 if fault.context_mark else line
    return f"not YAML: {problem}" + (f" (begun in line {begun})" if begun != line else "")


class _Builder:
    """Turns one event stream into a Document, counting nodes and depth as it goes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.nodes = 0
        self.lines: dict[KeyPath, int] = {}
        self.deepest = 0
        self.anchors: dict[str, tuple[Any, int, int]] = {}

    def build(self, text: str) -> Document:
        try:
            self.events: Iterator[Any] = yaml.parse(text, Loader=yaml.CSafeLoader)
            self.event: Any = next(self.events)
        except UnicodeEncodeError:
            raise OptionsError("half of a surrogate pair is not a character", where=f"{self.name}:1") from None
        value = None
        documents = 0
        while not isinstance(self.event, yaml.StreamEndEvent):
            if isinstance(self.event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self.fault("a second document ('---') in the file")
                self.advance()
                value = self.node((), 0)
            self.advance()
        return Document(value, self.lines)

    def advance(self) -> None:
        self.event = next(self.events)

    def fault(self, message: str, hint: str | None = None) -> OptionsError:
        return OptionsError(message, where=f"{self.name}:{self.event.start_mark.line + 1}", hint=hint)

    def count(self, nodes: int) -> None:
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            raise self.fault(f"more than {MAX_NODES:,} values, aliases as often as they are used", "no option file has as many")

    def reach(self, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise self.fault(f"nested deeper than {MAX_DEPTH} levels", "no option file is as deep")
        self.deepest = max(self.deepest, depth)

    def node(self, path: KeyPath, depth: int) -> Any:
        """The value that begins at the current event; afterwards the current event is its last one."""
        self.reach(depth)
        self.lines.setdefault(path, self.event.start_mark.line + 1)
        event, before = self.event, self.nodes
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self.anchors:
                raise self.fault(f"alias *{str(event.anchor)[:80]} without its anchor")
            value, size, height = self.anchors[event.anchor]
            self.count(size)
            self.reach(depth + height)
            return value
        outer, self.deepest = self.deepest, depth
        self.count(1)
        if isinstance(event, yaml.ScalarEvent):
            value = self.scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self.sequence(path, depth)
        else:
            value = self.mapping(path, depth)
        if event.anchor:
            self.anchors[event.anchor] = (value, self.nodes - before, self.deepest - depth)
        self.deepest = max(outer, self.deepest)
        return value

    def sequence(self, path: KeyPath, depth: int) -> list[Any]:
        self.refuse_tag("seq")
        items: list[Any] = []
        self.advance()
        while not isinstance(self.event, yaml.SequenceEndEvent):
            items.append(self.node((*path, len(items)), depth + 1))
            self.advance()
        return items

    def mapping(self, path: KeyPath, depth: int) -> dict[str, Any]:
        self.refuse_tag("map")
        items: dict[str, Any] = {}
        self.advance()
        while not isinstance(self.event, yaml.MappingEndEvent):
            name, line = self.event, self.event.start_mark.line + 1
            if not isinstance(name, yaml.ScalarEvent):
                raise self.fault("a key must be a plain word")
            self.refuse_tag("str")
            key = name.value
            if key == "<<":
                raise self.fault("the merge key '<<' is not supported", "use `base: other.yml`")
            if key in items:
                first = self.lines[(*path, key)]
                raise self.fault(f"key {key[:80]!r} appears twice (first in line {first})", "remove one of them")
            self.lines[(*path, key)] = line
            self.advance()
            items[key] = self.node((*path, key), depth + 1)
            self.advance()
        return items

    def refuse_tag(self, allowed: str) -> None:
        tag = self.event.tag
        if tag not in (None, "!", _STANDARD_TAG + allowed):
            raise self.fault(f"tag {tag.replace(_STANDARD_TAG, '!!')[:80]} is not allowed in an option file")

    def scalar(self, event: Any) -> Any:
        text: str = event.value
        if event.tag is None and event.implicit[0]:
            return plain_scalar(text)
        kind = "str" if event.tag in (None, "!") else event.tag.removeprefix(_STANDARD_TAG)
        value = text if kind == "str" else plain_scalar(text)
        if kind == "float" and type(value) is int:
            value = float(value)
        expected = {"str": str, "int": int, "float": float, "bool": bool, "null": type(None)}.get(kind)
        if expected is None:
            self.refuse_tag("str")
        if type(value) is not expected:
            raise self.fault(f"!!{kind} does not fit {text[:LONGEST_NUMBER]!r}")
        return value


def plain_scalar(text: str) -> str | int | float | bool | None:
    """What an unquoted YAML word stands for.

    >>> plain_scalar("2e-4"), plain_scalar("off"), plain_scalar("~"), plain_scalar("x4")
    (0.0002, 'off', None, 'x4')
    """
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if len(text) <= LONGEST_NUMBER:
        if _INT.fullmatch(text):
            return int(text.replace("_", ""))
        if _FLOAT.fullmatch(text):
            return float(text.replace("_", ""))
        if text.lower() in _SPECIAL:
            return float(_SPECIAL[text.lower()])
    return text
