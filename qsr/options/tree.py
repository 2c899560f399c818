"""A nest of plain values in which every key remembers where it was written.

Option files are merged as trees, not as dictionaries, so that an error and `qsr options show` can name
the file and line of a key however many `base:` files and overrides it came through.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from qsr.options.yaml_lines import Document, KeyPath


@dataclass(frozen=True)
class Origin:
    """Where a value comes from: a file and its line, `--set`, or `default`."""

    source: str
    line: int | None = None

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"


DEFAULT = Origin("default")


def dotted(path: KeyPath) -> str:
    """`("quant", "w_bits")` as users write it: `quant.w_bits`."""
    return ".".join(str(part) for part in path)


@dataclass
class Tree:
    """`value` is a nest of dicts; lists are leaves. `origins` has an entry for every path that was written."""

    value: dict[str, Any] = field(default_factory=dict)
    origins: dict[KeyPath, Origin] = field(default_factory=dict)

    @classmethod
    def from_document(cls, document: Document, source: str) -> Tree:
        return cls(copy.deepcopy(document.value or {}), {path: Origin(source, line) for path, line in document.lines.items()})

    def origin(self, path: KeyPath) -> Origin:
        """Of the key itself, or of the nearest section around it that was written."""
        while path and path not in self.origins:
            path = path[:-1]
        return self.origins.get(path, DEFAULT)

    def get(self, path: KeyPath) -> Any:
        """The value at `path`; None where there is none."""
        value: Any = self.value
        for part in path:
            if not isinstance(value, dict) or part not in value:
                return None
            value = value[part]
        return value

    def has(self, path: KeyPath) -> bool:
        parent = self.get(path[:-1])
        return isinstance(parent, dict) and path[-1] in parent

    def remove(self, path: KeyPath) -> None:
        """Takes a key out; its origin stays, so that messages about its absence can still point there."""
        del self.get(path[:-1])[path[-1]]

    def move(self, old: KeyPath, new: KeyPath) -> None:
        """Renames a key, keeping its value's origin. Both paths must have the same parent section."""
        section = self.get(old[:-1])
        section[new[-1]] = section.pop(old[-1])
        self.origins[new] = self.origin(old)

    def merge(self, other: Tree) -> None:
        """Lays `other` over this tree: sections are merged key by key, everything else is replaced."""
        replaced: set[KeyPath] = set()
        self._lay(self.value, other.value, (), other, replaced)
        # one pass over all origins, not one for each key: a file has room for tens of thousands
        kept = {path: origin for path, origin in self.origins.items() if not _within(path, replaced)}
        new = {path: origin for path, origin in other.origins.items() if _within(path, replaced)}
        self.origins = kept | {path: other.origin(path) for path in replaced} | new

    def _lay(self, mine: dict[str, Any], theirs: dict[str, Any], path: KeyPath, other: Tree, replaced: set[KeyPath]) -> None:
        for key, value in theirs.items():
            here = (*path, key)
            if isinstance(value, dict) and isinstance(mine.get(key), dict):
                self.origins.setdefault(here, other.origin(here))
                self._lay(mine[key], value, here, other, replaced)
                continue
            mine[key] = copy.deepcopy(value)
            replaced.add(here)

    def leaves(self) -> Iterator[tuple[KeyPath, Any]]:
        """Every path whose value is not a section, in file order."""
        yield from _leaves(self.value, ())


def _within(path: KeyPath, roots: set[KeyPath]) -> bool:
    """Whether `path` is one of `roots` or lies inside one."""
    return any(path[:end] in roots for end in range(1, len(path) + 1))


def _leaves(value: dict[str, Any], path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    for key, item in list(value.items()):
        if isinstance(item, dict):
            yield from _leaves(item, (*path, key))
        else:
            yield (*path, key), item
