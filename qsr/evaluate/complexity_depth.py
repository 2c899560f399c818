"""Which depth of a trained supernet fits a budget of parameters, operations or milliseconds.

Every depth is counted (honest mode); time is measured on this machine, depths interleaved so that a busy moment meets
all of them, median of the rounds.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from qsr.archs import depth as depths
from qsr.archs.modelfile import load_model, read_info, read_state
from qsr.errors import OptionsError
from qsr.evaluate.complexity import ComplexityReport, complexity
from qsr.options import from_json
from qsr.options.schema import Options


@dataclass(frozen=True)
class Budget:
    """Upper limits; infinity where nothing was asked for. params: 32-bit parameters, ops: operations, ms: milliseconds."""

    params: float = math.inf
    ops: float = math.inf
    ms: float = math.inf


@dataclass(frozen=True)
class DepthRow:
    """One sub-network; ms is None where it was not measured."""

    depth: int
    params_k: float
    ops_g: float
    ms: float | None
    fits: bool


@dataclass(frozen=True)
class DepthChoice:
    """rows: deepest first. chosen: the deepest that fits, or None. input: what was counted and measured on."""

    rows: tuple[DepthRow, ...]
    chosen: int | None
    input: str
    threads: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def described(path: Path | str) -> tuple[Options, list[int] | None]:
    """The options of a model file or experiment, and the order of its blocks where one is frozen."""
    options = from_json(read_info(path).options)
    order = next((value.tolist() for name, value in read_state(path).items() if name in ("body.order", "layers.order")), None)
    return options, order if order and order[0] >= 0 else None


def choose(
    path: Path | str, budget: Budget, height: int | None = None, width: int | None = None, measure: bool = False
) -> DepthChoice:
    """The table of all depths of a model file or experiment under `budget`; LR size as in `complexity`.

    Time is measured if `measure` or if the budget limits it. Raises OptionsError for a network of fixed depth.
    """
    options, order = described(path)
    dqa = options.depth.dqa
    if dqa is None:
        raise OptionsError("this network has one depth only", where=str(path), hint="train with depth.dqa for several")
    counted = {depth: complexity(options, "honest", depth, height, width, order) for depth in dqa.depths}
    some = counted[dqa.depths[0]]
    measured: dict[int, float] = {}
    if measure or budget.ms < math.inf:
        network, _ = load_model(path)
        measured = milliseconds(network, dqa.depths, some.height, some.width)
    rows = tuple(_row(depth, report, measured.get(depth), budget) for depth, report in counted.items())
    return DepthChoice(rows, next((row.depth for row in rows if row.fits), None), some.input, torch.get_num_threads())


def _row(depth: int, report: ComplexityReport, ms: float | None, budget: Budget) -> DepthRow:
    fits = report.params_k * 1e3 <= budget.params and report.ops_g * 1e9 <= budget.ops and (ms or 0.0) <= budget.ms
    return DepthRow(depth, report.params_k, report.ops_g, ms, fits)


@torch.inference_mode()
def milliseconds(network: nn.Module, choices: Sequence[int], height: int, width: int, rounds: int = 5) -> dict[int, float]:
    """Median time of one image (1, 3, height, width) at each depth, on the network's device, after one warm-up each."""
    image = torch.zeros(1, 3, height, width, device=next(network.parameters()).device)
    times: dict[int, list[float]] = {depth: [] for depth in choices}
    for turn in range(rounds + 1):
        for depth in choices:
            depths.set_depth(network, depth)
            begun = time.perf_counter()
            network(image)
            if image.is_cuda:
                torch.cuda.synchronize(image.device)
            if turn:
                times[depth].append(1e3 * (time.perf_counter() - begun))
    depths.set_depth(network, None)
    return {depth: statistics.median(values) for depth, values in times.items()}
