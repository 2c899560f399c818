"""From a leaderboard file to tasks: one per row and seed, each with its options and the command that repeats it."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

from qsr.data.benchmark import data_roots, find_root
from qsr.errors import DataError, OptionsError
from qsr.leaderboard import spec
from qsr.leaderboard.spec import Leaderboard, Row
from qsr.options import Options, load
from qsr.options.yaml_lines import plain_scalar

PTQ_FILE = "ptq.safetensors"
# what a row is asked to write beside its scores, and nothing that would change them
QUIET = {"val.val_freq": None, "val.crops_every": 0, "logger.use_tb_logger": False}


@dataclass(frozen=True)
class Task:
    """One row with one seed.

    name: of its experiment. option_file, overrides: what `qsr train` is given. start: name of the task it starts from.
    options: what the two resolve to (of a ptq row: the full-precision network's, `quant` on top).
    """

    row: Row
    seed: int
    option_file: Path
    overrides: tuple[str, ...]
    start: str | None
    options: Options
    out: Path

    @property
    def name(self) -> str:
        return f"{self.row.row}_s{self.seed}"

    @property
    def folder(self) -> Path:
        """The experiment."""
        return self.out / "rows" / self.name

    @property
    def result_file(self) -> Path:
        return self.out / "results" / f"{self.name}.json"

    @property
    def model(self) -> Path:
        """What is measured: an experiment, or the file that `qsr ptq` makes."""
        return self.folder / PTQ_FILE if self.row.kind == "ptq" else self.folder

    @property
    def train_command(self) -> str:
        """What makes the network, as a line for the shell."""
        return shlex.join(["qsr", *self.train_arguments])

    @property
    def train_arguments(self) -> list[str]:
        if self.row.kind == "ptq":
            return ptq_arguments(self)
        settings = [part for text in self.overrides for part in ("--set", text)]
        return ["train", "-opt", str(self.option_file), "--auto_resume", *settings]

    @property
    def iterations(self) -> int:
        train = self.options.train
        return 0 if self.row.kind == "ptq" or train is None else train.fp_iter + train.total_iter


@dataclass(frozen=True)
class Plan:
    """All tasks of a leaderboard, starts before what starts from them; `chosen`: names of those to do now."""

    board: Leaderboard
    source: Path
    out: Path
    data_root: Path | None
    tasks: tuple[Task, ...]
    chosen: frozenset[str]
    shard: tuple[int, int] = (1, 1)

    @cached_property
    def by_name(self) -> dict[str, Task]:
        return {task.name: task for task in self.tasks}

    @property
    def mine(self) -> list[Task]:
        """The chosen tasks of this shard, in order. Counting goes over all tasks: every shard counts alike."""
        number, of = self.shard
        return [task for i, task in enumerate(self.tasks) if i % of == number - 1 and task.name in self.chosen]


def make(
    file: Path,
    out: Path | None = None,
    *,
    data_root: Path | None = None,
    budget: int | None = None,
    only: Sequence[str] = (),
    shard: tuple[int, int] = (1, 1),
) -> Plan:
    """Read a leaderboard file and resolve every row.

    out: default experiments/leaderboard/<name>. budget: iterations of rows with a start, in place of the file's.
    only: shell patterns over rows and groups; the starts of what they choose come along. shard: (number from 1, of).
    Raises OptionsError naming the line of each row that does not resolve, DataError where the training pictures are not.
    """
    board, tree = spec.read(file)
    if budget is not None:
        board = board.model_copy(update={"budget": board.budget.model_copy(update={"iterations": budget})})
    out = (out or Path("experiments") / "leaderboard" / board.name).absolute()

    def origin(place: int) -> str:
        return str(tree.origin(("rows", place)))

    return plan_of(board, file, out, data_root, only=only, shard=shard, origin=origin)


def plan_of(
    board: Leaderboard,
    file: Path,
    out: Path,
    data_root: Path | None,
    *,
    only: Sequence[str] = (),
    shard: tuple[int, int] = (1, 1),
    origin: Callable[[int], str],
) -> Plan:
    """Resolve every row of `board`, whose option files are named relative to `file`.

    origin: FILE:LINE of the row at a place of the board. Otherwise, and in what it raises, as `make`.
    """
    train = str(_training_pictures(board.train_set, data_root))
    tasks: list[Task] = []
    problems: list[str] = []
    for seed in board.seeds:
        for place, row in _starts_first(board):
            try:
                tasks.append(_task(board, file, row, seed, out, train))
            except OptionsError as fault:
                problems += [f"{origin(place)}  row {row.row}: {line.strip()}" for line in (fault.problems or (str(fault),))]
    if problems:
        raise OptionsError("rows that are no experiments", where=str(file), problems=tuple(dict.fromkeys(problems)))
    return Plan(board, file, out, data_root, tuple(tasks), _choose(board, tasks, only), shard)


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Sections and dotted keys alike, as dotted keys.

    >>> flatten({"quant": {"method": "rlq", "settings": {"h": 1}}, "train.ema_decay": 0})
    {'quant.method': 'rlq', 'quant.settings.h': 1, 'train.ema_decay': 0}
    """
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return flat


def _written(value: Any) -> str:
    """A value as it is typed after `--set key=`: quotes only where YAML would read something else."""
    if isinstance(value, str) and re.fullmatch(r"[\w./+-]+", value) and plain_scalar(value) == value:
        return value
    return "~" if value is None else json.dumps(value)


def ptq_arguments(task: Task) -> list[str]:
    """`qsr ptq CHECKPOINT ...` for a ptq row; `ptq: {method: mse}` in its `set` becomes `--method mse`."""
    assert task.start is not None
    assert task.options.quant is not None
    extra = {key.removeprefix("ptq."): value for key, value in flatten(task.row.set).items() if key.startswith("ptq.")}
    arguments = ["ptq", str(task.out / "rows" / task.start)]
    quant = task.options.quant
    arguments += ["--w-bits", str(quant.w_bits), "--a-bits", str(quant.a_bits), "--quantizer", quant.method]
    arguments += ["--seed", str(task.seed)]
    arguments += ["--calibration", task.options.datasets["train"].dataroot_gt, "-o", str(task.model)]
    for key, value in extra.items():
        arguments += [f"--{key.replace('_', '-')}", *([] if value is True else [str(value)])]
    return arguments


def _task(board: Leaderboard, file: Path, row: Row, seed: int, out: Path, train_folder: str) -> Task:
    group = board.group_of(row)
    named = (row.options or group.options or board.options).replace("{scale}", str(board.scale))
    option_file = Path(os.path.normpath(file.parent / named))
    if not option_file.is_file():
        raise OptionsError(f"no option file {option_file}")
    start = board.start_of(row)
    lengths = {"start": board.budget.start_iterations, "budget": board.budget.iterations}
    settings: dict[str, Any] = {
        "name": f"{row.row}_s{seed}",
        "manual_seed": seed,
        "scale": board.scale,
        "path.experiments_root": str(out / "rows"),
        "path.pretrain_network_g": str(out / "rows" / f"{start}_s{seed}") if start else None,
        "datasets.train.dataroot_gt": train_folder,
        "datasets.train.batch_size_per_gpu": board.budget.batch,
        "datasets.train.gt_size": board.budget.lq_patch * board.scale,
        "datasets.val": None,
        "train.total_iter": lengths.get(row.length, sum(lengths.values())),
        **QUIET,
    }
    for own in (board.set, group.set, row.set):
        # a later `quant.method` also wins over an earlier one's `quant: {...}`
        settings |= flatten(own)
    overrides = tuple(f"{key}={_written(value)}" for key, value in settings.items() if not key.startswith("ptq."))
    options = load(option_file, overrides).options
    if options.train is None:
        raise OptionsError("its option file has no section `train`")
    if row.kind == "ptq" and options.quant is None:
        raise OptionsError("a ptq row needs quant.w_bits and quant.a_bits")
    return Task(row, seed, option_file, overrides, f"{start}_s{seed}" if start else None, options, out)


def _training_pictures(name: str, data_root: Path | None) -> Path:
    found = find_root(name, data_root) or (Path(name) if Path(name).is_dir() else None)
    if found is None:
        places = ", ".join(map(str, data_roots(data_root)))
        raise DataError(f"no training pictures {name!r} below {places}", hint="--data-root FOLDER says where they are")
    return found.absolute()


def _starts_first(board: Leaderboard) -> Iterator[tuple[int, Row]]:
    """Rows with their place in the file, each after the row it starts from."""
    places = {row.row: place for place, row in enumerate(board.rows)}
    given: set[str] = set()

    def visit(row: Row) -> Iterator[tuple[int, Row]]:
        if row.row in given:
            return
        start = board.start_of(row)
        if start:
            yield from visit(board.row(start))
        given.add(row.row)
        yield places[row.row], row

    # all starts before the first long group: several workers then have something to do from the beginning on
    starts = {board.start_of(row) for row in board.rows}
    for row in sorted(board.rows, key=lambda row: row.row not in starts):
        yield from visit(row)


def _choose(board: Leaderboard, tasks: Sequence[Task], only: Sequence[str]) -> frozenset[str]:
    known = {task.name: task for task in tasks}
    wanted: set[str] = set()
    for pattern in only or ("*",):
        fits = [t.name for t in tasks if any(fnmatchcase(name, pattern) for name in (t.row.row, t.row.group, t.name))]
        if not fits:
            rows = ", ".join(dict.fromkeys(row.row for row in board.rows))
            raise OptionsError(f"--only {pattern}: no such row or group", hint=f"rows: {rows}")
        wanted.update(fits)
    for name in tuple(wanted):
        start = known[name].start
        while start is not None:
            wanted.add(start)
            start = known[start].start
    return frozenset(wanted)
