"""What a check is, and what it may find."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["ok", "warn", "fail", "skip"]
STATUSES: tuple[Status, ...] = ("ok", "warn", "fail", "skip")


@dataclass(frozen=True)
class Finding:
    """What a check found.

    status: ok; warn: works, with a reservation; fail: do not rely on it; skip: not looked at, `found` says why.
    found: one line. todo: what to do about it, "" where nothing is to be done. facts: plain values for `--json`.
    """

    status: Status
    found: str
    todo: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


def ok(found: str, **facts: Any) -> Finding:
    return Finding("ok", found, "", facts)


def warn(found: str, todo: str, **facts: Any) -> Finding:
    return Finding("warn", found, todo, facts)


def fail(found: str, todo: str, **facts: Any) -> Finding:
    return Finding("fail", found, todo, facts)


def skip(found: str, todo: str = "") -> Finding:
    return Finding("skip", found, todo)


@dataclass(frozen=True)
class Check:
    """One line of `qsr doctor`.

    place: `module:function`; the function takes the experiments folder if `in_folder`, else nothing, and returns a Finding.
    needs: names of modules without which there is nothing to check (they come with the extra `train`).
    seconds: after that long it is a failure. alone: in a process of its own, with one thread. slow: left out by --quick.
    """

    name: str
    title: str
    place: str
    needs: tuple[str, ...] = ()
    seconds: float = 60.0
    in_folder: bool = False
    alone: bool = False
    slow: bool = False
