"""The table of checks: every line leads to a function, and names can be asked for."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest

from qsr.doctor.registry import CHECKS, select
from qsr.errors import OptionsError


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_every_check_is_a_function_of_the_doctors(check):
    module, _, name = check.place.partition(":")
    assert module.startswith("qsr.doctor.")
    function = getattr(importlib.import_module(module), name)
    assert len(inspect.signature(function).parameters) == check.in_folder
    assert check.seconds > 0
    assert check.title


def test_names_are_unique_and_documented(repository: Path):
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names)
    text = (repository / "docs" / "doctor.md").read_text()
    assert [name for name in names if f"| `{name}` |" not in text] == []


def test_quick_leaves_out_what_is_slow_unless_it_is_asked_for():
    slow = {check.name for check in CHECKS if check.slow}
    assert slow == {"resume"}
    assert {check.name for check in CHECKS} - {check.name for check in select(quick=True)} == slow
    assert [check.name for check in select(["resume"], quick=True)] == ["resume"]
    assert select() == CHECKS


def test_the_order_is_the_tables():
    assert [check.name for check in select(["disk", "python"])] == ["python", "disk"]


def test_an_unknown_name_is_refused_with_a_near_one():
    with pytest.raises(OptionsError, match="no check 'convolution'.*did you mean convolutions"):
        select(["convolution"])
    with pytest.raises(OptionsError, match="there are: python, files"):
        select(["xyzzy"])
