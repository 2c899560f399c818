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
    "train.nan_policy",
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
    """12 hex digits over everything that decides the trained weights; logging, validation and device do not.

    Keys at their default are left out, so that a key which a later version adds leaves the hashes of old runs alone.
    """
    text = json.dumps(_without_empty(_semantic(options, exclude_defaults=True)), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def semantic_diff(old: Options, new: Options) -> list[str]:
    """`key: old -> new` for every change that would make a resumed run another experiment; raising total_iter is none."""
    before, after = _semantic(old), _semantic(new)
    if old.train and new.train and new.train.total_iter > old.train.total_iter:
        before["train"]["total_iter"] = after["train"]["total_iter"]
    return list(_changes(before, after, ""))


def harmless_diff(old: Options, new: Options) -> list[str]:
    """`key: old -> new` for every change that a resumed run accepts; what `semantic_diff` lists is not among them."""
    refused = {change.partition(":")[0] for change in semantic_diff(old, new)}
    changes = _changes(old.model_dump(mode="json"), new.model_dump(mode="json"), "")
    return [change for change in changes if change.partition(":")[0] not in refused]


def _semantic(options: Options, exclude_defaults: bool = False) -> dict[str, Any]:
    """The JSON of every key that matters, with what is left out filled in from where it follows."""
    data = options.model_dump(mode="json", exclude_defaults=exclude_defaults)
    data.setdefault("network_g", {})
    network = options.network_g
    if hasattr(network, "upscale"):
        data["network_g"]["upscale"] = options.scale
    if isinstance(network, SRResNet):
        data["network_g"] |= {"type": "SRResNet", "layout": network.resolved_layout}
    return _without_harmless(data, "")


def _without_harmless(section: dict[str, Any], prefix: str) -> dict[str, Any]:
    kept = {}
    for name, value in section.items():
        key = f"{prefix}{name}"
        if not any(fnmatchcase(key, pattern) for pattern in _HARMLESS):
            kept[name] = _without_harmless(value, key + ".") if isinstance(value, dict) else value
    return kept


def _without_empty(section: dict[str, Any]) -> dict[str, Any]:
    """Without the sections of which only harmless keys, now gone, had been set."""
    inner = {name: _without_empty(value) if isinstance(value, dict) else value for name, value in section.items()}
    return {name: value for name, value in inner.items() if value != {}}


def _changes(old: dict[str, Any], new: dict[str, Any], prefix: str) -> Iterator[str]:
    for name in dict.fromkeys((*old, *new)):
        before, after, key = old.get(name), new.get(name), f"{prefix}{name}"
        if isinstance(before, dict) and isinstance(after, dict):
            yield from _changes(before, after, key + ".")
        elif before != after:
            yield f"{key}: {_brief(before)} -> {_brief(after)}"


def _brief(value: Any) -> str:
    """A section in one word each way, so that a removed `quant` is one line."""
    return "(left out)" if value is None else "(a section)" if isinstance(value, dict) else str(value)
