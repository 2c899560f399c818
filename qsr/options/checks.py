"""Checks across keys, made before anything is built: each fault with the line of the key that should change."""

from __future__ import annotations

from qsr.options.problems import Problem
from qsr.options.schema import Options
from qsr.options.tree import Tree


def cross_problems(options: Options, tree: Tree) -> list[Problem]:
    """Every contradiction between keys; `tree` tells which keys were written."""
    return []
