"""Which options make an experiment what it is: reading them back, their hash, and what may change on resume."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from pydantic import ValidationError

from qsr.errors import FormatError
from qsr.options.schema import Options, SRResNet

# Keys that change what is printed, kept or measured, or how fast it goes, but not one weight.
_HARMLESS = (
    "name",
    "device",
    "logger.*",
    "val.*",
    "path.experiments_root",
    "path.resume_state",
    "datasets.*.name",
    "datasets.*.num_worker_per_gpu",
    "datasets.*.cache",
    "datasets.val*",
    "datasets.test*",
    "train.nan_check_freq",
)


def from_json(data: Mapping[str, Any]) -> Options:
    """Options as `Options.to_json` wrote them. Raises FormatError where they do not validate."""
    try:
        return Options.model_validate(dict(data))
    except (ValidationError, TypeError, ValueError) as fault:
        first = fault.errors(include_url=False)[0] if isinstance(fault, ValidationError) else None
        what = f"{'.'.join(map(str, first['loc']))}: {first['msg']}" if first else str(fault)
        raise FormatError(f"not the options of a qsr experiment: {what}") from fault


def options_hash(options: Options) -> str:
    """12 hex digits over everything that decides the trained weights; logging, validation and device do not."""
    text = json.dumps(dict(_semantic(options)), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def semantic_diff(old: Options, new: Options) -> list[str]:
    """`key: old -> new` for every change that would make a resumed run another experiment; raising total_iter is none."""
    before, after = dict(_semantic(old)), dict(_semantic(new))
    if old.train and new.train and new.train.total_iter > old.train.total_iter:
        before["train.total_iter"] = after["train.total_iter"]
    keys = sorted(before.keys() | after.keys())
    missing = "(not there)"
    return [
        f"{key}: {before.get(key, missing)} -> {after.get(key, missing)}" for key in keys if before.get(key) != after.get(key)
    ]


def _semantic(options: Options) -> Iterator[tuple[str, Any]]:
    """(dotted key, JSON value) of every key that matters, with what is left out filled in from where it follows."""
    data = options.to_json()
    network = options.network_g
    if hasattr(network, "upscale"):
        data["network_g"]["upscale"] = options.scale
    if isinstance(network, SRResNet):
        data["network_g"] |= {"type": "SRResNet", "layout": network.resolved_layout}
    for key, value in _flat(data, ""):
        if not any(fnmatchcase(key, pattern) for pattern in _HARMLESS):
            yield key, value


def _flat(value: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        key = f"{prefix}{name}"
        if isinstance(item, dict) and item:
            yield from _flat(item, key + ".")
        else:
            yield key, item
