"""Faults of an option file as lines a user can act on: where, which key, what was found, what is allowed.

A pydantic error speaks of model classes; `schema_problems` retells it in the file's own terms.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from qsr.errors import OptionsError
from qsr.options.schema import Options, network_kind
from qsr.options.schema_walk import ANY, every_section, section_at
from qsr.options.tree import Tree, dotted
from qsr.options.yaml_lines import KeyPath

LONGEST_SHOWN = 60  # characters of a value that is quoted back
MOST_LISTED = 50  # problems of one file; looking up what each of ten thousand could have meant would take minutes
UNKNOWN = "unknown key"
NETWORK_TYPES = ("SRResNet", "EDSR", "MSRResNet", "SwinIR", "Mixer")


@dataclass(frozen=True)
class Problem:
    """One fault: the key it concerns and what is wrong with it."""

    path: KeyPath
    message: str

    def line(self, tree: Tree) -> str:
        """`options/x.yml:41  quant.w_bit: unknown key (did you mean w_bits?)`."""
        key = dotted(self.path)
        named = key if key.isprintable() and len(key) <= LONGEST_SHOWN else shown(key)
        return f"{tree.origin(self.path)}  {named}: {self.message}"


def refuse(problems: Iterable[Problem], tree: Tree, name: str) -> None:
    """Raises one OptionsError that lists every problem in the order of the lines; returns if there is none."""
    ordered = sorted(problems, key=lambda p: (tree.origin(p.path).source, tree.origin(p.path).line or 0))
    lines = tuple(dict.fromkeys(problem.line(tree) for problem in ordered))
    if lines:
        count = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
        if len(lines) > MOST_LISTED:
            count = f"more than {MOST_LISTED} problems"
        raise OptionsError(f"{count} in the options", where=name, problems=lines[:MOST_LISTED])


def schema_problems(fault: ValidationError, tree: Tree) -> list[Problem]:
    """Each error of a validation once, with the path the user wrote.

    A missing key is not reported where an unknown one beside it is obviously its misspelling.
    """
    network = network_kind(tree.get(("network_g",)))
    found: dict[KeyPath, Problem] = {}
    for error in fault.errors(include_url=False)[: MOST_LISTED + 1]:
        path = _written_path(error["loc"], tree)
        if path not in found:
            found[path] = _retell(path, error, network)
    meant = {(*path[:-1], _suggestion(path, network)) for path, problem in found.items() if problem.message.startswith(UNKNOWN)}
    # only what is missing: an unknown key may have its own name, right in another section
    return [problem for path, problem in found.items() if path not in meant or problem.message.startswith(UNKNOWN)]


def nearest(word: str, known: Iterable[str]) -> str:
    """` (did you mean w_bits?)`, or nothing when no known word is near."""
    return _question(_close(word, known))


def shown(value: Any) -> str:
    """A value as quoted in a message, cut to a line's length."""
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 3] + "..."


def _written_path(loc: tuple[int | str, ...], tree: Tree) -> KeyPath:
    """pydantic's location without the names of union members it puts in between."""
    path: KeyPath = ()
    value: Any = tree.value
    for position, part in enumerate(loc):
        last = position == len(loc) - 1
        if isinstance(value, dict) and (part in value or (last and part not in _UNION_WORDS)):
            value = value.get(str(part))
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            continue
        path = (*path, part)
    return path


_UNION_WORDS = {"SRResNet", "SwinIR", "Mixer", "BasicSRNetwork"}


def _retell(path: KeyPath, error: ErrorDetails, network: str | None) -> Problem:
    kind, found, limits = error["type"], error["input"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return Problem(path, UNKNOWN + _question(_suggestion(path, network)))
    if kind == "missing":
        return Problem(path, "missing; " + _description(path, network))
    if kind.startswith("union_tag"):
        word = found.get("type") if isinstance(found, dict) else found
        allowed = ", ".join(NETWORK_TYPES) + " or basicsr:NAME"
        return Problem((*path, "type"), f"found {shown(word)}, expected {allowed}{nearest(str(word), NETWORK_TYPES)}")
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return Problem(path, f"found {shown(found)}, expected a section of keys")
    if kind == "literal_error":
        allowed = str(limits["expected"])
        return Problem(path, f"found {shown(found)}, expected {allowed}{nearest(str(found), allowed.split(chr(39))[1::2])}")
    if kind == "string_type":
        return Problem(path, f"found {shown(found)}, expected text (put it in quotes)")
    return Problem(path, f"found {shown(found)}, expected {_expected(kind, error['msg'])}")


def _expected(kind: str, message: str) -> str:
    if kind.startswith("int"):
        return "a whole number"
    if kind.startswith("float"):
        return "a number"
    if kind.startswith("bool"):
        return "true or false"
    if kind in ("tuple_type", "list_type"):
        return "a list, for instance [a, b]"
    words = message.partition("should ")[2] or message
    return words.removeprefix("be a valid ").removeprefix("be ")


def _close(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), 1, 0.6) if len(word) <= LONGEST_SHOWN else []
    return near[0] if near else ""


def _question(word: str) -> str:
    return f" (did you mean {word}?)" if word else ""


def _suggestion(path: KeyPath, network: str | None) -> str:
    """The key that was probably meant: a near one of the same section, or the same word in another section."""
    word = str(path[-1])
    section = section_at(path[:-1], network)
    here = _close(word, section.model_fields if section else ())
    others = [(at, model) for at, model in every_section() if ANY not in at and at != path[:-1]]
    elsewhere = [dotted((*at, word)) for at, model in others if word in model.model_fields]
    return here or (elsewhere[0] if len(elsewhere) == 1 else "")


def _description(path: KeyPath, network: str | None) -> str:
    section = section_at(path[:-1], network) or Options
    field = section.model_fields.get(str(path[-1]))
    return (field.description or "required").rstrip(".") if field else "required"
