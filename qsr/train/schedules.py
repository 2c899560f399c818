"""Learning rates as closed forms of the iteration: nothing to save, nothing to restore, no table that ends.

`t` counts the steps of a stage from 0; BasicSR's schedulers, which are recursive, give the same numbers at
`t = current_iter - 1` (parity tests). Beyond the last period a cosine stays at its lowest point, where
BasicSR stops with an error.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable

from qsr.options.schema import Scheduler

Schedule = Callable[[int, float], float]
"""(t, base learning rate) -> learning rate of step t; t = 0 is the first step of the stage."""


def multi_step(milestones: tuple[int, ...], gamma: float) -> Schedule:
    """base * gamma^(number of milestones <= t), as torch's MultiStepLR."""
    ordered = sorted(milestones)
    return lambda t, base: base * gamma ** bisect_right(ordered, t)


def multi_step_restart(
    milestones: tuple[int, ...], gamma: float, restarts: tuple[int, ...], weights: tuple[float, ...]
) -> Schedule:
    """Multi-step that starts again at base * weight at each restart; only milestones after it count."""
    ordered, starts = sorted(milestones), sorted(zip(restarts, weights, strict=True))

    def rate(t: int, base: float) -> float:
        begun = [(start, weight) for start, weight in starts if start <= t]
        start, weight = begun[-1] if begun else (-1, 1.0)
        return base * weight * gamma ** (bisect_right(ordered, t) - bisect_right(ordered, start))

    return rate


def cosine(periods: tuple[int, ...], weights: tuple[float, ...], eta_min: float) -> Schedule:
    """eta_min + weight/2 (base - eta_min) (1 + cos(pi t' / period)), t' counted from the period's start.

    A period's last point belongs to it (t' = period), as in BasicSR; one period equals torch's CosineAnnealingLR.
    """
    ends = [sum(periods[: i + 1]) for i in range(len(periods))]

    def rate(t: int, base: float) -> float:
        t = min(t, ends[-1])
        i = bisect_left(ends, t)
        done = (t - (ends[i] - periods[i])) / periods[i]
        return eta_min + weights[i] * 0.5 * (base - eta_min) * (1 + math.cos(math.pi * done))

    return rate


def with_warmup(schedule: Schedule, warmup: int) -> Schedule:
    """Linear from base/warmup to base over the first `warmup` steps (BasicSR's rule); warmup <= 0 changes nothing."""
    return lambda t, base: base * (t + 1) / warmup if t + 1 < warmup else schedule(t, base)


def build(options: Scheduler, length: int, warmup: int = -1) -> Schedule:
    """The schedule that an option file asks for, over a stage of `length` steps."""
    if options.type == "constant":
        schedule: Schedule = lambda t, base: base  # noqa: E731 - a schedule is a function like the others
    elif options.type == "MultiStepLR":
        schedule = multi_step(options.milestones, options.gamma)
    elif options.type == "MultiStepRestartLR":
        weights = _one_each(options.restart_weights, len(options.restarts))
        schedule = multi_step_restart(options.milestones, options.gamma, options.restarts, weights)
    else:
        periods = options.periods or (length,)
        schedule = cosine(periods, _one_each(options.restart_weights, len(periods)), options.eta_min)
    return with_warmup(schedule, warmup)


def _one_each(weights: tuple[float, ...], count: int) -> tuple[float, ...]:
    """A single weight stands for all of them."""
    return weights * count if len(weights) == 1 else weights
