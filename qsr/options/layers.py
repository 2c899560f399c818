"""From a file name and overrides to one merged tree: `base:` files underneath, the file, `--set` on top."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from pathlib import Path

from qsr.errors import OptionsError
from qsr.options.problems import shown
from qsr.options.schema import network_kind
from qsr.options.tree import Origin, Tree
from qsr.options.yaml_lines import KeyPath, parse_value, read_yaml

MAX_FILES = 64  # a file read twice counts twice: bases that name each other in pairs would double at every level
OVERRIDE = Origin("--set")


def read_layers(path: Path, overrides: Sequence[str]) -> tuple[Tree, tuple[Path, ...]]:
    """The merged tree of an option file and its overrides, and every file it was read from, the named one first.

    Raises OptionsError for unreadable files, circles of `base:`, and overrides that are not KEY=VALUE.
    """
    files: list[Path] = []
    tree = _read(path, (), files)
    for text in overrides:
        _lay(tree, parse_override(text))
    return tree, tuple(dict.fromkeys(files))


def _read(path: Path, inside: tuple[Path, ...], files: list[Path]) -> Tree:
    files.append(path)
    if len(files) > MAX_FILES:
        raise OptionsError(
            f"more than {MAX_FILES} files by way of `base:`", where=str(path), hint="a file that is named twice counts twice"
        )
    document = read_yaml(path)
    if document.value is not None and not isinstance(document.value, dict):
        raise OptionsError("holds no keys (expected `key: value` lines)", where=f"{path}:1")
    own = Tree.from_document(document, str(path))
    bases = own.value.pop("base", None) or []
    line = own.origins.pop(("base",), None)
    inside = (*inside, path.resolve())
    merged = Tree()
    for base in bases if isinstance(bases, list) else [bases]:
        if not isinstance(base, str):
            raise OptionsError(f"base: found {shown(base)}, expected a file name or a list of them", where=str(line))
        below = Path(os.path.normpath(path.parent / base))
        try:
            place, there = below.resolve(), below.is_file()
        except (OSError, ValueError) as fault:  # a name too long for any file, or with a NUL in it
            raise OptionsError(f"base: {shown(base)} is no file name: {fault}", where=str(line)) from fault
        if place in inside:
            raise OptionsError(f"base: {base} leads back to itself", where=str(line))
        if not there:
            raise OptionsError(f"base: no file {below}", where=str(line), hint=_neighbour(below))
        _lay(merged, _read(below, inside, files))
    _lay(merged, own)
    return merged


def _lay(below: Tree, above: Tree) -> None:
    """Merges, except that a network of another kind replaces the one below: their keys have nothing in common."""
    network: KeyPath = ("network_g",)
    old, new = below.get((*network, "type")), above.get((*network, "type"))
    kinds = {network_kind({"type": old}), network_kind({"type": new})}
    if None not in (old, new) and (len(kinds) > 1 or (kinds == {"BasicSRNetwork"} and old != new)):
        below.remove(network)
    below.merge(above)


def _neighbour(missing: Path) -> str | None:
    names = [p.name for p in missing.parent.glob("*.yml")] if missing.parent.is_dir() else []
    near = difflib.get_close_matches(missing.name, names, 1)
    return f"did you mean {near[0]}?" if near else "the path is relative to the file that names it"


def parse_override(text: str) -> Tree:
    """`quant.w_bits=4`, or BasicSR's `quant:w_bits=4`, as a tree of one leaf; the value is YAML.

    >>> parse_override("train:optim_g:lr=2e-4").value
    {'train': {'optim_g': {'lr': 0.0002}}}
    """
    key, equals, value = text.partition("=")
    path: KeyPath = tuple(key.strip().split(":" if ":" in key else "."))
    if not equals or not all(path):
        raise OptionsError(f"--set {text}: expected KEY=VALUE", hint="for instance --set quant.w_bits=4")
    tree = Tree()
    section = tree.value
    for depth, part in enumerate(path[:-1], 1):
        section = section.setdefault(str(part), {})
        tree.origins[path[:depth]] = OVERRIDE
    section[str(path[-1])] = parse_value(value, f"--set {text}")
    tree.origins[path] = OVERRIDE
    return tree
