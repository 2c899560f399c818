"""Options against reality: the folders and files that a command is about to need. Apart from `load`, so that
`qsr options show` works on a machine without the data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

from qsr.options.loader import Resolved
from qsr.options.problems import Problem, refuse
from qsr.options.schema import Dataset
from qsr.options.tree import Tree


def check_files(resolved: Resolved, phases: Sequence[str]) -> None:
    """Raises one OptionsError naming everything that is missing for `phases`, such as ("train", "val").

    A phase covers its numbered sections (`test`: test_1, test_2, ...). "train" also wants the `train` section.
    Relative paths are looked up from the working directory, as in BasicSR.
    """
    tree = Tree({}, {tuple(key.split(".")): origin for key, origin in resolved.origins.items()})
    name = str(resolved.files[0]) if resolved.files else "options"
    refuse(_missing(resolved, phases), tree, name)


def _missing(resolved: Resolved, phases: Sequence[str]) -> Iterator[Problem]:
    options = resolved.options
    if "train" in phases and options.train is None:
        yield Problem(("train",), "missing; this is an option file for testing only")
    for name, dataset in options.datasets.items():
        if name.partition("_")[0] in phases:
            yield from _missing_data(("datasets", name), dataset)
    for key in ("pretrain_network_g", "resume_state"):
        value = getattr(options.path, key)
        if value is not None and not Path(value).exists():
            own = value.startswith(options.path.experiments_root)
            advice = "train it first, or name" if own else "name"
            yield Problem(("path", key), f"nothing at {value}{_from_here(value)}; {advice} another with --set path.{key}=FILE")
    for number, term in enumerate(options.train.distill if options.train and "train" in phases else ()):
        if term.teacher is not None and not Path(term.teacher).exists():
            here = ("train", "distill", number, "teacher")
            yield Problem(here, f"nothing at {term.teacher}{_from_here(term.teacher)}; left out: what this run starts from")


def _missing_data(here: tuple[str, str], dataset: Dataset) -> Iterator[Problem]:
    for key in ("dataroot_gt", "dataroot_lq"):
        root = getattr(dataset, key)
        if root is not None and not Path(root).is_dir():
            yield Problem((*here, key), f"no folder {root}{_from_here(root)}; {_remedy(root, here, key)}")
    meta = dataset.meta_info_file
    if meta is not None and not Path(meta).is_file():
        yield Problem((*here, "meta_info_file"), f"no file {meta}{_from_here(meta)}; leave it out to use every picture")


def _from_here(path: str) -> str:
    return "" if PurePath(path).is_absolute() else f" in {Path.cwd()}"


def _remedy(root: str, here: tuple[str, str], key: str) -> str:
    """Where the folder is one that `qsr data add` makes, that command; in any case the override."""
    parts = PurePath(root).parts
    mine = f"--set {'.'.join((*here, key))}=FOLDER"
    if len(parts) > 1 and parts[0] == "datasets":
        return f"make it with `qsr data add {parts[1]}`, or point to yours with {mine}"
    return f"point to yours with {mine}"
