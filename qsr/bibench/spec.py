"""The file of a benchmark: binarization operators x network families, one budget, what is measured. Read strictly.

    name: small
    scales: [2, 4]
    sets: [Set5, Set14]
    budget: {iterations: 1000, start_iterations: 3000}
    families:
      cnn: {label: SRResNet, options: ../base/small_one_bit.yml, start: ../base/small_fp.yml}
    operators:
      - {operator: bnn, label: BNN, set: {quant.method: bnn}}

Each operator is trained on each family at each scale, as is the family's full-precision twin: the same network with real
weights and activations, from the same start, by the same recipe.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from qsr.data.corrupt import KINDS
from qsr.leaderboard.spec import Budget, Name, Settings, retell
from qsr.options.layers import read_layers
from qsr.options.problems import Problem, nearest, refuse
from qsr.options.schema_base import NonNegative, Positive, Scale, Section, Seed
from qsr.options.tree import Tree
from qsr.options.yaml_lines import KeyPath

Track = Literal["task", "arch", "robust", "comp", "train", "infer"]
TRACKS: tuple[Track, ...] = ("task", "arch", "robust", "comp", "train", "infer")
GRID_SCHEDULES = {"cosine": {"type": "CosineAnnealingLR"}, "multistep": {"type": "MultiStepLR"}}


class Family(Section):
    """One kind of network."""

    label: str = Field("", description="Text in tables; left out: its name.")
    options: str = Field(description="Option file of its binarized networks, relative to this file.")
    start: str = Field(description="Option file of the full-precision network that all of them start from.")
    set: Settings = Field(default_factory=dict, description="Options of all its networks, the start among them.")
    binary: Settings = Field(default_factory=dict, description="Options of its binarized networks.")
    twin: Settings = Field(default_factory=dict, description="Options of its full-precision twin, which has no `quant`.")


class Operator(Section):
    """One way to binarize."""

    operator: Name = Field(description="Name; its networks are called <operator>_<family>.")
    label: str = Field("", description="Text in tables; left out: its name.")
    group: Literal["operator", "ablation"] = Field(
        "operator", description="ablation: compared on its own families, without the six metrics."
    )
    families: tuple[str, ...] = Field((), description="Families that it is trained on; left out: all.")
    set: Settings = Field(default_factory=dict, description="Options of its networks, over the family's.")
    published: dict[Track, float] = Field(
        default_factory=dict, description="BiBench's own metrics (classification and others), by track, to stand beside ours."
    )
    note: str = Field("", description="What a reader has to know.")


class Robust(Section):
    """The robustness track."""

    sets: tuple[str, ...] = Field((), description="Sets whose LR pictures are corrupted; left out: the first.")
    kinds: tuple[str, ...] = Field(KINDS, min_length=1, description="Corruptions; left out: all eleven.")
    severities: tuple[Positive, ...] = Field((1, 2, 3, 4, 5), min_length=1, description="Severities, 1 to 5.")
    table: Literal["cifar", "imagenet"] = Field("cifar", description="How strong the severities are.")
    seed: Seed = Field(0, description="Of the noise; the same for all networks.")


class Grid(Section):
    """Small trainings that say how much a method depends on rate and schedule."""

    families: tuple[str, ...] = Field((), description="Families; left out: the first.")
    iterations: Positive = Field(300, ge=4, description="Iterations of each, 4 at least.")
    rates: tuple[float, ...] = Field((1e-4, 5e-4), min_length=1, description="Learning rates.")
    schedules: tuple[Literal["cosine", "multistep"], ...] = Field(
        ("cosine", "multistep"), min_length=1, description="multistep halves the rate at the middle and at three quarters."
    )
    set: str = Field("", description="Set whose PSNR's standard deviation counts; left out: the first.")


class Training(Section):
    """The training track: time per iteration, interleaved with the twin's, and the grid."""

    rounds: Positive = Field(5, description="Turns that network and twin take.")
    iterations: Positive = Field(10, description="Iterations of a turn.")
    grid: Grid = Field(Grid(), description="The grid.")


class Inference(Section):
    """The inference track: packed files on this machine's processor."""

    size: tuple[Positive, Positive] = Field((320, 180), description="Width and height of the LR picture.")
    threads: NonNegative = Field(0, description="Threads; 0: all cores.")
    rounds: Positive = Field(20, description="Turns that network and twin take.")
    tail: Literal["fp32", "fp16", "int8", "w4a4"] = Field("fp32", description="Head and tail of the binarized files.")


class Bibench(Section):
    """The whole file."""

    name: str = Field(description="Name; results lie in a folder of this name.", pattern=r"^[\w][\w.+-]*$")
    scales: tuple[Scale, ...] = Field((2,), min_length=1, description="Super-resolution factors.")
    sets: tuple[str, ...] = Field(("Set5", "Set14"), min_length=1, description="Benchmark sets, by name.")
    seeds: tuple[Seed, ...] = Field((0,), min_length=1, description="Every network is trained once per seed.")
    train_set: str = Field("BSD400", description="Training pictures, by name or folder.")
    budget: Budget = Field(description="The same for all networks.")
    pictures: tuple[str, ...] = Field((), description="SET/PICTURE whose upscaled form is kept, clean and corrupted.")
    set: Settings = Field(default_factory=dict, description="Options of all networks.")
    families: dict[str, Family] = Field(min_length=1, description="Kinds of networks.")
    operators: tuple[Operator, ...] = Field(min_length=1, description="Ways to binarize.")
    robust: Robust = Field(Robust(), description="Robustness track.")
    training: Training = Field(Training(), description="Training track.")
    inference: Inference = Field(Inference(), description="Inference track.")

    def families_of(self, operator: Operator) -> tuple[str, ...]:
        return operator.families or tuple(self.families)

    @property
    def robust_sets(self) -> tuple[str, ...]:
        return self.robust.sets or self.sets[:1]

    @property
    def grid_set(self) -> str:
        return self.training.grid.set or self.sets[0]

    @property
    def grid_families(self) -> tuple[str, ...]:
        return self.training.grid.families or tuple(self.families)[:1]


def read(path: Path) -> tuple[Bibench, Tree]:
    """The benchmark of a file, and its tree, which knows each key's line.

    Raises OptionsError listing every problem with file and line.
    """
    tree, _ = read_layers(path, ())
    try:
        bench = Bibench.model_validate(tree.value)
    except ValidationError as fault:
        refuse((retell(error, _section) for error in fault.errors(include_url=False)), tree, str(path))
        raise AssertionError("a validation error without an error") from fault
    refuse(_across(bench), tree, str(path))
    return bench, tree


def _section(path: KeyPath) -> type[Section]:
    """The model that the keys below `path` belong to."""
    kinds: dict[str, type[Section]] = {
        "budget": Budget,
        "families": Family,
        "operators": Operator,
        "robust": Robust,
        "grid": Grid,
        "training": Training,
        "inference": Inference,
    }
    return next((kinds[str(part)] for part in reversed(path) if str(part) in kinds), Bibench)


def _across(bench: Bibench) -> Iterator[Problem]:
    """What only several keys together can get wrong."""
    names = [operator.operator for operator in bench.operators]
    for place, operator in enumerate(bench.operators):
        here: KeyPath = ("operators", place)
        if operator.operator in names[:place]:
            yield Problem((*here, "operator"), f"{operator.operator} appears twice")
        if operator.operator in ("fp", "start"):
            yield Problem((*here, "operator"), f"{operator.operator} is the name of a network in full precision")
        yield from _unknown((*here, "families"), operator.families, bench.families)
    yield from _unknown(("training", "grid", "families"), bench.training.grid.families, bench.families)
    yield from _unknown(("robust", "kinds"), bench.robust.kinds, KINDS)
    yield from _unknown(("robust", "sets"), bench.robust.sets, bench.sets)
    if bench.grid_set not in bench.sets:
        found = f"found {bench.grid_set}, expected one of {', '.join(bench.sets)}"
        yield Problem(("training", "grid", "set"), found)
    for place, severity in enumerate(bench.robust.severities):
        if severity > 5:
            yield Problem(("robust", "severities", place), f"found {severity}, expected 1 to 5")
    for place, picture in enumerate(bench.pictures):
        if picture.partition("/")[0] not in bench.sets or "/" not in picture:
            yield Problem(("pictures", place), f"found {picture}, expected SET/NAME with one of {', '.join(bench.sets)}")


def _unknown(path: KeyPath, names: tuple[str, ...], known: object) -> Iterator[Problem]:
    have = list(known)  # type: ignore[call-overload]
    for place, name in enumerate(names):
        if name not in have:
            yield Problem((*path, place), f"found {name}{nearest(name, have)}, expected one of {', '.join(have)}")
