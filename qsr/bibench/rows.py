"""The trainings of a benchmark, as leaderboards: one per scale, and one of short trainings (the grid).

Every training is thereby an ordinary experiment: resumable, skipped when its result is there, split over shards or a
cluster, with `qsr train` and `qsr test` commands that repeat it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from qsr.bibench import spec
from qsr.bibench.spec import GRID_SCHEDULES, Bibench, Operator
from qsr.errors import OptionsError
from qsr.leaderboard.plan import Plan, Task, flatten, plan_of
from qsr.leaderboard.spec import Budget, Group, Leaderboard, Row, Settings

GRID = "grid"
TWIN = "fp"

Places = list[tuple[str | int, ...]]
"""Where in the file each row of a leaderboard comes from."""


@dataclass(frozen=True)
class Network:
    """One trained network: operator (`fp`: the full-precision twin), family, scale and seed."""

    operator: str
    family: str
    scale: int
    seed: int

    @property
    def twin(self) -> Network:
        return Network(TWIN, self.family, self.scale, self.seed)

    @property
    def row(self) -> str:
        return f"{self.operator}_{self.family}"

    @property
    def name(self) -> str:
        """Of its cells: `bnn_cnn_x2_s0`."""
        return f"{self.row}_x{self.scale}_s{self.seed}"


@dataclass(frozen=True)
class Work:
    """A benchmark with everything that it trains. plans: by `x2`, `x4`, ... and `grid`."""

    bench: Bibench
    source: Path
    out: Path
    data_root: Path | None
    plans: dict[str, Plan]

    def networks(self) -> Iterator[Network]:
        """Twins and binarized networks of every scale and seed."""
        for scale in self.bench.scales:
            for seed in self.bench.seeds:
                for family in self.bench.families:
                    yield Network(TWIN, family, scale, seed)
                for operator in self.bench.operators:
                    for family in self.bench.families_of(operator):
                        yield Network(operator.operator, family, scale, seed)

    def task(self, network: Network) -> Task:
        return self.plans[f"x{network.scale}"].by_name[f"{network.row}_s{network.seed}"]

    def grid(self, operator: str, family: str) -> list[Task]:
        """The short trainings of one operator (`fp`: of the twin), in the order of rates, then schedules."""
        plan = self.plans.get(GRID)
        return [task for task in plan.tasks if task.row.row.startswith(f"{operator}_{family}.")] if plan else []


def make(
    file: Path,
    out: Path | None = None,
    *,
    data_root: Path | None = None,
    budget: int | None = None,
    only: tuple[str, ...] = (),
    shard: tuple[int, int] = (1, 1),
    tracks: tuple[spec.Track, ...] = spec.TRACKS,
) -> Work:
    """Read a benchmark's file and resolve all its trainings.

    out: default experiments/bibench/<name>. budget: iterations of every network that has a start, in place of the file's.
    only: shell patterns over operators' rows; twins and starts come along. tracks: those that are asked for; trainings that
    no other needs are left out. Raises OptionsError naming the line of every problem, DataError where pictures are missing.
    """
    bench, tree = spec.read(file)
    if budget is not None:
        bench = bench.model_copy(update={"budget": bench.budget.model_copy(update={"iterations": budget})})
    out = (out or Path("experiments") / "bibench" / bench.name).absolute()
    boards = {f"x{scale}": _board(bench, scale) for scale in bench.scales}
    if "train" in tracks:
        boards[GRID] = _grid(bench)
    chosen = _chosen(boards, only)
    plans = {}
    for name, (board, places) in boards.items():
        if only and not chosen[name]:
            continue

        def origin(place: int, places: Places = places) -> str:
            return str(tree.origin(places[place]))

        plans[name] = plan_of(board, file, out / name, data_root, only=chosen[name], shard=shard, origin=origin)
    return Work(bench, file, out, data_root, plans)


def _chosen(boards: Mapping[str, tuple[Leaderboard, Places]], only: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Of each leaderboard, the rows that some pattern of `only` fits, with their twins. OptionsError for one that fits none."""
    found: dict[str, tuple[str, ...]] = {}
    for name, (board, _) in boards.items():
        fitting = [row for row in board.rows if any(fnmatchcase(row.row, f"{pattern}*") for pattern in only)]
        families = {row.group for row in fitting} - {"start"}
        twins = [row for row in board.rows if row.group in families and row.row.startswith(f"{TWIN}_")]
        found[name] = tuple(dict.fromkeys(row.row for row in (*fitting, *twins)))
    rows = dict.fromkeys(row.row.partition(".")[0] for board, _ in boards.values() for row in board.rows)
    for pattern in only:
        if not any(fnmatchcase(row, f"{pattern}*") for row in rows):
            raise OptionsError(f"--only {pattern}: no such network", hint=f"networks: {', '.join(rows)}")
    return found


def _board(bench: Bibench, scale: Literal[2, 3, 4]) -> tuple[Leaderboard, Places]:
    """All networks at one scale, and where in the file each row comes from."""
    rows, places = _starts(bench, tuple(bench.families))
    for family in bench.families:
        rows.append(_twin(bench, family))
        places.append(("families", family))
    for place, operator in enumerate(bench.operators):
        for family in bench.families_of(operator):
            rows.append(_binary(bench, operator, family))
            places.append(("operators", place))
    return _leaderboard(bench, f"x{scale}", scale, bench.sets, bench.seeds, bench.budget, rows), places


def _grid(bench: Bibench) -> tuple[Leaderboard, Places]:
    """Rate times schedule, for the twins and the operators of the grid's families, at the first scale and seed."""
    grid = bench.training.grid
    rows, places = _starts(bench, bench.grid_families)
    points: list[tuple[str, Settings]] = []
    for rate in grid.rates:
        for schedule in grid.schedules:
            shape: dict[str, Any] = dict(GRID_SCHEDULES[schedule])
            if schedule == "multistep":
                shape |= {"milestones": [grid.iterations // 2, 3 * grid.iterations // 4], "gamma": 0.5}
            points.append((f"{rate:g}-{schedule}", {"train.optim_g.lr": rate, "train.scheduler": shape}))
    for family in bench.grid_families:
        for name, settings in points:
            rows.append(_twin(bench, family, name, settings))
            places.append(("families", family))
        for place, operator in enumerate(bench.operators):
            if family in bench.families_of(operator) and operator.group == "operator":
                for name, settings in points:
                    rows.append(_binary(bench, operator, family, name, settings))
                    places.append(("operators", place))
    budget = bench.budget.model_copy(update={"iterations": grid.iterations})
    return _leaderboard(bench, GRID, bench.scales[0], (bench.grid_set,), bench.seeds[:1], budget, rows), places


def _leaderboard(
    bench: Bibench,
    name: str,
    scale: Literal[2, 3, 4],
    sets: tuple[str, ...],
    seeds: tuple[int, ...],
    budget: Budget,
    rows: list[Row],
) -> Leaderboard:
    groups = {name: Group(options=family.options, start=f"start_{name}") for name, family in bench.families.items()}
    return Leaderboard(
        name=f"{bench.name}_{name}",
        scale=scale,
        sets=sets,
        seeds=seeds,
        train_set=bench.train_set,
        budget=budget,
        pictures=tuple(picture for picture in bench.pictures if picture.partition("/")[0] in sets),
        options=next(iter(bench.families.values())).options,
        set=bench.set,
        groups=groups,
        rows=tuple(rows),
    )


def _starts(bench: Bibench, families: tuple[str, ...]) -> tuple[list[Row], Places]:
    rows = [
        Row(
            row=f"start_{name}",
            group="start",
            length="start",
            label=f"{bench.families[name].label or name}, start",
            options=bench.families[name].start,
            published_as="",
            set=bench.families[name].set,
        )
        for name in families
    ]
    return rows, [("families", name) for name in families]


def _twin(bench: Bibench, name: str, point: str = "", settings: Settings | None = None) -> Row:
    family = bench.families[name]
    return Row(
        row=f"{TWIN}_{name}" + (f".{point}" if point else ""),
        group=name,
        label=f"{family.label or name}, full precision",
        published_as="",
        set=flatten(family.set) | flatten(family.twin) | {"quant": None} | (settings or {}),
    )


def _binary(bench: Bibench, operator: Operator, name: str, point: str = "", settings: Settings | None = None) -> Row:
    family = bench.families[name]
    return Row(
        row=f"{operator.operator}_{name}" + (f".{point}" if point else ""),
        group=name,
        label=operator.label or operator.operator,
        published_as="",
        note=operator.note,
        set=flatten(family.set) | flatten(family.binary) | flatten(operator.set) | (settings or {}),
    )
