"""BasicSR's option files, unchanged: old spellings are renamed, keys without a meaning here are set aside.

Nothing is dropped silently: every key set aside is listed once, with its line and the reason. A key that
would change the result (an unknown loss, another dataset type for training) is not in these tables and
therefore stays an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from qsr.options.tree import Origin, Tree, dotted
from qsr.options.yaml_lines import KeyPath


@dataclass(frozen=True)
class Ignored:
    """A key that was set aside: its dotted path, where it stands, and why it means nothing here."""

    key: str
    origin: Origin
    reason: str

    def __str__(self) -> str:
        return f"{self.origin}  {self.key}: ignored, {self.reason}"


_RENAMED = {
    ("path", "pretrain_model_g"): "pretrain_network_g",
    ("path", "strict_load"): "strict_load_g",
    ("datasets", "*", "use_flip"): "use_hflip",
}

_LAUNCH = "devices and processes come from `device` and torchrun"
_SAMPLER = "samples are numbered without epochs; workers and prefetching do not change them"

_SET_ASIDE = {
    "num_gpu": _LAUNCH,
    "dist_params": _LAUNCH,
    "find_unused_parameters": _LAUNCH,
    "use_amp": "use `amp`",
    "datasets.*.dataset_enlarge_ratio": _SAMPLER,
    "datasets.*.prefetch_mode": _SAMPLER,
    "datasets.*.num_prefetch_queue": _SAMPLER,
    "datasets.*.pin_memory": _SAMPLER,
    "datasets.*.persistent_workers": _SAMPLER,
    "datasets.*.use_shuffle": _SAMPLER,
    "datasets.*.color": "pictures are read as RGB, metrics choose Y themselves",
    "datasets.*.phase": "follows from the name of the dataset's section",
    "datasets.*.scale": "follows from `scale`",
    "datasets.*.io_backend.db_paths": "the same as the data roots",
    "datasets.*.io_backend.client_keys": "the same as the data roots",
    "path.ignore_resume_networks": "there is one network",
    "path.results_root": "results go to results/<name>",
    "logger.wandb": "not supported; see `use_tb_logger` and metrics.jsonl",
    "val.suffix": "pictures are named after the experiment",
    "val.pbar": "progress is always shown",
    "val.use_pbar": "progress is always shown",
}

_METRICS = ("calculate_psnr", "calculate_ssim")


def translate(tree: Tree) -> tuple[Ignored, ...]:
    """Renames old spellings in place and takes keys without a meaning out; returns what was taken out."""
    for pattern, new in _RENAMED.items():
        for path in _matching(tree, pattern):
            if not tree.has((*path[:-1], new)):
                tree.move(path, (*path[:-1], new))
    ignored: list[Ignored] = []
    for key, reason in _SET_ASIDE.items():
        for path in _matching(tree, tuple(key.split("."))):
            ignored.append(_set_aside(tree, path, reason))
    for path, reason in _by_content(tree):
        ignored.append(_set_aside(tree, path, reason))
    return tuple(ignored)


def _by_content(tree: Tree) -> list[tuple[KeyPath, str]]:
    """Keys whose value decides: foreign metrics, test folders without HR, empty settings of other losses."""
    found: list[tuple[KeyPath, str]] = []
    for path in _matching(tree, ("val", "metrics", "*")):
        kind = _type_of(tree.get(path))
        if isinstance(kind, str) and kind.startswith("calculate_") and kind not in _METRICS:
            found.append((path, "PSNR and SSIM are the metrics here"))
    for path in _matching(tree, ("datasets", "*")):
        if path[1] != "train" and _type_of(tree.get(path)) == "SingleImageDataset":
            found.append((path, "it has no HR pictures to measure against"))
    for path in _matching(tree, ("train", "*_opt")):
        if path[1] != "pixel_opt" and tree.get(path) is None:
            found.append((path, "it is empty"))
    return found


def _type_of(value: Any) -> Any:
    return value.get("type") if isinstance(value, dict) else None


def _set_aside(tree: Tree, path: KeyPath, reason: str) -> Ignored:
    tree.remove(path)
    return Ignored(dotted(path), tree.origin(path), reason)


def _matching(tree: Tree, pattern: tuple[str, ...]) -> list[KeyPath]:
    """Written paths that fit a pattern, part by part; `*` within a part is a wildcard."""
    paths: list[KeyPath] = [()]
    for part in pattern:
        sections = [(path, tree.get(path)) for path in paths]
        names = [(path, name) for path, section in sections if isinstance(section, dict) for name in section]
        paths = [(*path, name) for path, name in names if fnmatchcase(name, part)]
    return paths
