"""An option file, read, merged, translated from BasicSR's habits, validated and checked: `load`."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from qsr.options.basicsr_keys import Ignored, translate
from qsr.options.checks import cross_problems
from qsr.options.layers import read_layers
from qsr.options.problems import Problem, refuse, schema_problems
from qsr.options.schema import Options
from qsr.options.tree import DEFAULT, Origin, Tree, dotted


@dataclass(frozen=True)
class Resolved:
    """An option file with everything decided.

    options: the validated options, defaults filled in.
    origins: dotted key -> where its value was written; keys that are left to their default are not in it.
    ignored: keys of BasicSR files that mean nothing here, each with the reason.
    files: every file that was read, the named one first.
    """

    options: Options
    origins: dict[str, Origin]
    ignored: tuple[Ignored, ...]
    files: tuple[Path, ...]

    def origin(self, key: str) -> Origin:
        """Where the value of a dotted key comes from: its own line, its section's, or `default`."""
        while key and key not in self.origins:
            key = key.rpartition(".")[0]
        return self.origins.get(key, DEFAULT)


def load(path: str | Path, overrides: Sequence[str] = ()) -> Resolved:
    """Reads an option file, its `base:` files and overrides (`quant.w_bits=4`, `quant:w_bits=4`).

    Raises OptionsError listing every problem at once, each with file:line, key, what was found and what is
    allowed. Does not look at datasets; `check_files` does.
    """
    tree, files = read_layers(Path(path), overrides)
    return _resolve(tree, files, str(path))


def from_dict(data: Mapping[str, Any], name: str = "options") -> Options:
    """Options from plain values, with the same checks and messages as a file; `name` stands for the file."""
    tree = Tree(copy.deepcopy(dict(data)))
    tree.origins[()] = Origin(name)
    return _resolve(tree, (), name).options


def _resolve(tree: Tree, files: tuple[Path, ...], name: str) -> Resolved:
    ignored = translate(tree)
    _empty_means_default(tree)
    problems: list[Problem] = []
    try:
        options = Options.model_validate(tree.value)
    except ValidationError as fault:
        problems = schema_problems(fault, tree)
        problems += _beyond(problems, tree)
    else:
        problems = _bool_as_number(options, tree) + cross_problems(options, tree)
    refuse(problems, tree, name)
    return Resolved(options, {dotted(path): origin for path, origin in tree.origins.items() if path}, ignored, files)


def _empty_means_default(tree: Tree) -> None:
    """`key: ~` takes the key out again, also where a base file had set it."""
    for path, value in tree.leaves():
        if value is None:
            tree.remove(path)


def _beyond(problems: list[Problem], tree: Tree) -> list[Problem]:
    """What the checks across keys say once the faulty keys are left out, so that one run shows everything.

    Sections that have a fault of their own are passed over: what they lack is probably what is misspelt.
    """
    rest = copy.deepcopy(tree)
    for problem in problems:
        if problem.path and rest.has(problem.path):
            rest.remove(problem.path)
    try:
        options = Options.model_validate(rest.value)
    except ValidationError:
        return []
    faulty = {problem.path[:-1] for problem in problems} | {problem.path for problem in problems}
    return [problem for problem in cross_problems(options, rest) if problem.path[:-1] not in faulty]


def _bool_as_number(options: Options, tree: Tree) -> list[Problem]:
    """pydantic takes `true` for 1; in an option file it is a slip."""
    dumped = Tree(options.model_dump())
    return [
        Problem(path, f"found {str(value).lower()}, expected a number")
        for path, value in tree.leaves()
        if isinstance(value, bool) and not isinstance(dumped.get(path), bool | None)
    ]
