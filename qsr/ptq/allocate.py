"""Bits for each layer under a budget, from a sensitivity table: an integer programme, solved exactly.

    minimise  sum over layers of error(layer, bits)    so that    fixed + sum of cost(layer, bits) <= budget    for every budget

One choice per layer. Errors are taken as additive (rounding errors of different layers are nearly uncorrelated), costs are
those of `qsr complexity` (mode honest), milliseconds those of a table that the user measured. Solved by branch and bound
(HiGHS through scipy.optimize.milp): `bound` is the proven lower limit of the objective, equal to it up to `gap`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import yaml

from qsr.errors import OptionsError
from qsr.evaluate.complexity import complexity
from qsr.options import Options
from qsr.options.schema import Quant
from qsr.ptq.sensitivity import FULL, Sensitivity

Bits = tuple[int, int]  # (weight bits, activation bits)
ROUNDING = 1e-9  # of a budget: two sums of the same numbers in another order


@dataclass(frozen=True)
class Budget:
    """Upper limits; infinity where nothing is asked for. params: 32-bit parameters, ops: operations, ms: milliseconds."""

    params: float = math.inf
    ops: float = math.inf
    ms: float = math.inf


@dataclass(frozen=True)
class Choice:
    """What one layer gets."""

    layer: str
    w_bits: int
    a_bits: int
    error: float


@dataclass(frozen=True)
class Allocation:
    """rows: in the network's order. error: their sum; bound: no allocation within the budget has less; gap: relative.

    params_k, ops_g, ms: of the whole network (ms None without a table). average_w, average_a: over weights, over MACs.
    """

    rows: tuple[Choice, ...]
    error: float
    bound: float
    gap: float
    params_k: float
    ops_g: float
    ms: float | None
    average_w: float
    average_a: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def to_yaml(self) -> str:
        """A fragment for `base:` of an option file, and for `qsr ptq --rules`."""
        head = (
            f"# qsr allocate: {self.params_k:.2f} K params, {self.ops_g:.3f} G ops"
            + (f", {self.ms:.2f} ms" if self.ms is not None else "")
            + f"; {self.average_w:.2f} bits per weight, {self.average_a:.2f} per activation"
        )
        rules = [{"match": row.layer, "w_bits": row.w_bits, "a_bits": row.a_bits} for row in self.rows]
        return f"{head}\n{yaml.safe_dump({'quant': {'rules': rules}}, sort_keys=False, default_flow_style=None, width=120)}"


@dataclass(frozen=True)
class Costs:
    """fixed: (params, ops, ms) of everything that is not allocated. each: layer -> bits -> (params, ops, ms)."""

    fixed: np.ndarray
    each: dict[str, dict[Bits, np.ndarray]]
    weights: dict[str, int]
    macs: dict[str, int]


def allocate(
    options: Options,
    found: Sensitivity,
    budget: Budget,
    milliseconds: Mapping[str, Any] | None = None,
    height: int | None = None,
    width: int | None = None,
) -> Allocation:
    """Choose bits for every layer of a sensitivity table.

    options: of the network; its `quant` does not count. milliseconds: {"other": ms, "layers": {layer: {"w4a4": ms}}}.
    height, width: LR size for counting operations. Raises OptionsError: a budget that no choice meets, milliseconds limited
    without a table or with holes in it, a table that belongs to another network.
    """
    if math.isfinite(budget.ms) and milliseconds is None:
        raise OptionsError("milliseconds are limited, but none were measured", where="--ms-max", hint="give --ms-table FILE")
    errors = choices(found)
    costs = _costs(options, found, errors, milliseconds, height, width)
    chosen, bound, gap = _solve(errors, costs, budget)
    total = costs.fixed + sum(costs.each[layer][bits] for layer, bits in chosen.items())
    rows = tuple(Choice(layer, *bits, errors[layer][bits]) for layer, bits in chosen.items())
    return Allocation(
        rows=rows,
        error=math.fsum(row.error for row in rows),
        bound=bound,
        gap=gap,
        params_k=float(total[0]) / 1e3,
        ops_g=float(total[1]) / 1e9,
        ms=float(total[2]) if milliseconds is not None else None,
        average_w=float(np.average([row.w_bits for row in rows], weights=[costs.weights[row.layer] for row in rows])),
        average_a=float(np.average([row.a_bits for row in rows], weights=[costs.macs[row.layer] for row in rows])),
    )


def choices(found: Sensitivity) -> dict[str, dict[Bits, float]]:
    """layer -> bits -> error. Where weights and activations were measured apart, every pair is a choice and errors add."""
    measured: dict[str, dict[Bits, float]] = {}
    for row in found.rows:
        measured.setdefault(row.layer, {})[row.w_bits, row.a_bits] = row.error
    result = {}
    for layer, own in measured.items():
        weights = {w: error for (w, a), error in own.items() if a == FULL}
        acts = {a: error for (w, a), error in own.items() if w == FULL}
        pairs = {(w, a): weights[w] + acts[a] for w in weights for a in acts}
        result[layer] = {**pairs, **{bits: e for bits, e in own.items() if FULL not in bits}} or own
    return result


def uniform_budget(options: Options, found: Sensitivity, bits: Bits, height: int | None, width: int | None) -> Budget:
    """What the network costs with the same bits in every layer: parameters and operations."""
    report = complexity(_quantized(options, found, bits), "honest", None, height, width)
    return Budget(report.params_k * 1e3, report.ops_g * 1e9)


def _costs(
    options: Options,
    found: Sensitivity,
    errors: Mapping[str, Mapping[Bits, float]],
    milliseconds: Mapping[str, Any] | None,
    height: int | None,
    width: int | None,
) -> Costs:
    pairs = {bits for own in errors.values() for bits in own}
    reports = {bits: complexity(_quantized(options, found, bits), "honest", None, height, width) for bits in pairs}
    by_name = {bits: {layer.name: layer for layer in report.layers} for bits, report in reports.items()}
    some = next(iter(by_name.values()))
    unknown = [layer for layer in errors if layer not in some]
    if unknown:
        raise OptionsError(f"the network has no layer {unknown[0]}", where="sensitivity table", hint="is it another network's?")
    ms = _Milliseconds(milliseconds)
    each = {
        layer: {bits: np.array([by_name[bits][layer].params, by_name[bits][layer].ops, ms(layer, bits)]) for bits in own}
        for layer, own in errors.items()
    }
    others = [layer for name, layer in some.items() if name not in errors]
    fixed = np.array([sum(layer.params for layer in others), sum(layer.ops for layer in others), ms.other])
    counted = {layer: (some[layer].weights, some[layer].macs) for layer in errors}
    return Costs(fixed, each, {name: w for name, (w, _) in counted.items()}, {name: m for name, (_, m) in counted.items()})


def _solve(errors: Mapping[str, Mapping[Bits, float]], costs: Costs, budget: Budget) -> tuple[dict[str, Bits], float, float]:
    """(bits of each layer, proven lower bound of the error, relative gap)."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    variables = [(layer, bits) for layer, own in errors.items() for bits in own]
    objective = np.array([errors[layer][bits] for layer, bits in variables])
    one_each = np.array([[float(layer == of) for layer, _ in variables] for of in errors])
    cost = np.stack([costs.each[layer][bits] for layer, bits in variables], axis=1)  # (3, variables)
    limits = np.array([budget.params, budget.ops, budget.ms])
    asked = np.isfinite(limits)
    least = np.array([sum(min(c[i] for c in own.values()) for own in costs.each.values()) for i in range(3)]) + costs.fixed
    for name, limit, floor in zip(("params", "ops", "ms"), limits, least):
        if floor > limit * (1 + ROUNDING):
            raise OptionsError(f"no allocation has at most {limit:g} {name}: the smallest has {floor:g}")
    constraints = [LinearConstraint(one_each, 1, 1)]
    if asked.any():  # in shares of the budget, so that numbers of 1e9 and of 1e3 are held to the same precision
        room = (limits - costs.fixed)[asked]
        constraints.append(LinearConstraint(cost[asked] / room[:, None], -np.inf, 1 + ROUNDING))
    scale = objective.max() or 1.0
    solved = milp(objective / scale, constraints=constraints, integrality=np.ones(len(variables)), bounds=Bounds(0, 1))
    if solved.x is None:
        raise OptionsError(f"no allocation meets every budget ({solved.message})")
    chosen = {layer: bits for (layer, bits), x in zip(variables, solved.x) if x > 0.5}
    return chosen, float(solved.mip_dual_bound) * scale, float(solved.mip_gap)


class _Milliseconds:
    """The user's table; zero everywhere without one."""

    def __init__(self, table: Mapping[str, Any] | None) -> None:
        self._table = table
        self.other = float(table.get("other", 0.0)) if table is not None else 0.0

    def __call__(self, layer: str, bits: Bits) -> float:
        if self._table is None:
            return 0.0
        name = f"w{bits[0]}a{bits[1]}"
        try:
            return float(self._table["layers"][layer][name])
        except (KeyError, TypeError, ValueError) as fault:
            raise OptionsError(f"no milliseconds of {layer} at {name}", where="--ms-table") from fault


def _quantized(options: Options, found: Sensitivity, bits: Bits) -> Options:
    section = {**found.quant, "w_bits": bits[0], "a_bits": bits[1], "rules": ()}
    return options.model_copy(update={"quant": Quant.model_validate(section)})
