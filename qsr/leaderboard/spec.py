"""The leaderboard file: which rows, which seeds, one budget for all. Typed, and read as strictly as an option file.

    name: small_x2
    scale: 2
    sets: [Set5, Set14, B100]
    seeds: [0, 1]
    budget: {iterations: 1500, start_iterations: 3000, batch: 16, lq_patch: 24}
    options: ../base/small_fp.yml
    groups:
      w2a2: {start: fp, set: {quant: {w_bits: 2, a_bits: 2}}}
    rows:
      - {row: fp, group: fp, length: start}
      - {row: rlq_w2a2, group: w2a2, set: {quant.method: rlq}}

`base:` names another leaderboard file to lie underneath, so that x4 is x2 with another `name` and `scale`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from qsr.options.layers import read_layers
from qsr.options.problems import Problem, nearest, refuse, shown
from qsr.options.schema_base import NonNegative, Positive, Scale, Section, Seed
from qsr.options.tree import Tree
from qsr.options.yaml_lines import KeyPath

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")]
Settings = dict[str, Any]


class Budget(Section):
    iterations: Positive = Field(description="Iterations of every row that has a start.")
    start_iterations: Positive = Field(description="Iterations of the full-precision starts.")
    batch: Positive = Field(16, description="Patches per step.")
    lq_patch: Positive = Field(24, description="Side of an LR training patch.")


class Resources(Section):
    """What a row needs of a Ray cluster."""

    cpus: Positive = Field(1, description="CPU cores; also the row's threads.")
    gpus: NonNegative = Field(0, description="GPUs.")


class Group(Section):
    """Rows that are compared with each other, and what they share."""

    options: str | None = Field(None, description="Option file of its rows; left out: the leaderboard's.")
    start: str | None = Field(None, description="Row whose network its rows start from.")
    set: Settings = Field(default_factory=dict, description="Options of all its rows.")
    resources: Resources | None = Field(None, description="For Ray; left out: the leaderboard's.")


class Row(Section):
    """One line: an option file with some keys set, trained once per seed."""

    row: Name = Field(description="Name; the experiment is rows/<name>_s<seed>.")
    group: str = Field(description="Rows of a group are compared with each other.")
    kind: Literal["train", "ptq"] = Field("train", description="ptq: made from `start` by `qsr ptq`, without training.")
    label: str = Field("", description="Text in tables; left out: the method's name.")
    options: str | None = Field(
        None, description="Option file, relative to this one; {scale} is filled in. Left out: its group's."
    )
    set: Settings = Field(default_factory=dict, description="Options by dotted key or by section, over the group's.")
    start: str | None = Field(None, description="Row it starts from, of the same seed; left out: its group's.")
    length: Literal["start", "budget", "both"] = Field(
        "budget", description="Iterations: start_iterations, iterations, or their sum (what start and row have seen together)."
    )
    depths: tuple[Positive, ...] = Field((), description="Depth-dynamic networks: one line of the table per depth.")
    ensemble: bool = Field(False, description="One more line: the same network by eight-fold self-ensemble.")
    note: str = Field("", description="What a reader has to know about the row.")
    published_as: str | None = Field(None, description="The papers' name; left out: by the method; empty: none.")
    resources: Resources | None = Field(None, description="For Ray; left out: its group's.")


class Leaderboard(Section):
    """The whole file; `source` and `lines` say where each row was written."""

    name: str = Field(description="Name; results lie in a folder of this name.", pattern=r"^[\w][\w.+-]*$")
    scale: Scale = Field(description="Super-resolution factor of every row.")
    sets: tuple[str, ...] = Field(("Set5", "Set14", "B100"), min_length=1, description="Benchmark sets, by name.")
    seeds: tuple[Seed, ...] = Field((0,), min_length=1, description="Every row is trained once per seed.")
    train_set: str = Field("BSD400", description="Training pictures, by name or folder.")
    budget: Budget = Field(description="The same for all rows.")
    pictures: tuple[str, ...] = Field((), description="SET/PICTURE whose upscaled form is kept of every row.")
    options: str = Field(description="Option file of rows and groups that name none.")
    set: Settings = Field(default_factory=dict, description="Options of all rows.")
    resources: Resources = Field(Resources(), description="For Ray.")
    groups: dict[str, Group] = Field(default_factory=dict, description="What the rows of a group share.")
    rows: tuple[Row, ...] = Field(min_length=1, description="The rows, starts first.")

    def row(self, name: str) -> Row:
        return next(row for row in self.rows if row.row == name)

    def group_of(self, row: Row) -> Group:
        return self.groups.get(row.group, Group())

    def start_of(self, row: Row) -> str | None:
        """The row that `row` starts from; a row that is trained for `length: start` has none but its own."""
        return row.start or (self.group_of(row).start if row.length == "budget" else None)

    def resources_of(self, row: Row) -> Resources:
        return row.resources or self.group_of(row).resources or self.resources


def read(path: Path) -> tuple[Leaderboard, Tree]:
    """The leaderboard of a file, and its tree, which knows each row's line.

    Raises OptionsError listing every problem with file and line.
    """
    tree, _ = read_layers(path, ())
    try:
        board = Leaderboard.model_validate(tree.value)
    except ValidationError as fault:
        # faulty rows are left out before they are counted, so "too few" of them is no fault of its own
        errors = [error for error in fault.errors(include_url=False) if error["type"] != "too_short" or not error["input"]]
        refuse((retell(error, _section) for error in errors), tree, str(path))
        raise AssertionError("a validation error without an error") from fault
    refuse(_across(board), tree, str(path))
    return board, tree


def retell(error: Any, section: Callable[[KeyPath], type[Section]]) -> Problem:
    """pydantic's complaint as one about the file. section: the model that the keys below a path belong to."""
    path: KeyPath = tuple(error["loc"])
    where = section(path[:-1])
    if error["type"] == "extra_forbidden":
        return Problem(path, "unknown key" + nearest(str(path[-1]), where.model_fields))
    if error["type"] == "missing":
        return Problem(path, f"missing; {where.model_fields[str(path[-1])].description}")
    return Problem(path, f"found {shown(error['input'])}, {error['msg'][:1].lower()}{error['msg'][1:]}")


def _section(path: KeyPath) -> type[Section]:
    """The model that the keys below `path` belong to."""
    kinds: dict[str, type[Section]] = {"budget": Budget, "resources": Resources, "groups": Group, "rows": Row}
    return next((kinds[str(part)] for part in reversed(path) if str(part) in kinds), Leaderboard)


def _across(board: Leaderboard) -> Iterator[Problem]:
    """What only several keys together can get wrong."""
    names = [row.row for row in board.rows]
    for place, row in enumerate(board.rows):
        here: KeyPath = ("rows", place)
        if row.row in names[:place]:
            yield Problem((*here, "row"), f"{row.row} appears twice")
        start = board.start_of(row)
        if start is not None and start not in names:
            yield Problem((*here, "start"), f"no row {start}{nearest(start, names)}")
        elif _circular(board, row):
            yield Problem((*here, "start"), f"{row.row} starts, in the end, from itself")
        if row.kind == "ptq" and start is None:
            yield Problem((*here, "start"), "missing; a ptq row is made from the network of another row")
    for place, picture in enumerate(board.pictures):
        if picture.partition("/")[0] not in board.sets or "/" not in picture:
            yield Problem(("pictures", place), f"found {shown(picture)}, expected SET/NAME with one of {', '.join(board.sets)}")


def _circular(board: Leaderboard, row: Row) -> bool:
    known = {other.row: other for other in board.rows}
    seen = {row.row}
    start = board.start_of(row)
    while start in known:
        if start in seen:
            return True
        seen.add(start)
        start = board.start_of(known[start])
    return False
