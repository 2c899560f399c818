"""The typed options of an experiment, and the one way from a file to them (`load`)."""

from __future__ import annotations

from qsr.options.basicsr_keys import Ignored
from qsr.options.files_exist import check_files
from qsr.options.identity import from_json, harmless_diff, options_hash, semantic_diff
from qsr.options.loader import Resolved, from_dict, load
from qsr.options.schema import Options
from qsr.options.tree import Origin

__all__ = [
    "Ignored",
    "Options",
    "Origin",
    "Resolved",
    "check_files",
    "from_dict",
    "from_json",
    "harmless_diff",
    "load",
    "options_hash",
    "semantic_diff",
]
