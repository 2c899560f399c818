"""What the quantizers of a network will see, and the step size that follows from it: MinMax, percentile, MSE search.

The statistics are those of the full-precision network. Codes are the house's (qsr.quant): signed ones reach from
Qn v to Qp v, unsigned ones from 0 to Qp v, so a range [low, high] is held by the step max(low / Qn, high / Qp).
Activations of lsq_plus also have an offset: there both bounds are free, and the step is (high - low) / (Qp - Qn).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from qsr.errors import NumericalError, OptionsError
from qsr.ptq.modes import replaced
from qsr.quant import Quantizer, quantizers
from qsr.quant.base import level_range
from qsr.quant.learned_step import SIGNED_BELOW, LearnedStep
from qsr.quant.lsq_plus import LSQPlus

Observer = Literal["minmax", "percentile", "mse"]
SEARCH_POINTS = 100
TINY = 1e-12
VALUES_PER_BATCH = 2**14  # of an activation, drawn at random: enough for the 99.9th percentile of eight batches


@dataclass(frozen=True)
class Seen:
    """values: (rows, n) float32, one row per step size (channels, or one). low, high: (rows,), of all values ever seen."""

    values: Tensor
    low: Tensor
    high: Tensor

    def join(self, other: Seen) -> Seen:
        values = torch.cat((self.values, other.values), 1)
        return Seen(values, torch.minimum(self.low, other.low), torch.maximum(self.high, other.high))


def observe(network: nn.Module, batches: Iterable[Tensor], seed: int = 0) -> dict[str, Seen]:
    """What every quantizer of `network` meets while the network runs `batches` in full precision.

    batches: (N, 3, h, w) inputs on the network's device. Weights are kept whole, activations as a random sample.
    Raises NumericalError for NaN or Inf, OptionsError for a quantizer without a step size or one that no batch reached.
    """
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, Seen] = {}
    named = quantizers(network)

    def keep(name: str, quantizer: LearnedStep, x: Tensor) -> Tensor:
        if quantizer.role == "act" or name not in found:
            seen = _see(x.detach(), quantizer, generator)
            found[name] = found[name].join(seen) if name in found else seen
        return x

    watchers = {quantizer: partial(keep, name, uniform(name, quantizer)) for name, quantizer in named}
    with replaced(watchers), torch.no_grad():
        for batch in batches:
            network(batch)
    for name, _ in named:
        if name not in found:
            raise OptionsError("no calibration picture reaches this quantizer", where=name)
        if not torch.isfinite(found[name].low + found[name].high).all():
            raise NumericalError("NaN or Inf in the full-precision network", where=name)
    return {name: found[name] for name, _ in named}


def uniform(name: str, quantizer: Quantizer) -> LearnedStep:
    """The quantizer itself; OptionsError where it is not one whose codes are multiples of a step size."""
    if isinstance(quantizer, LearnedStep) and (quantizer.plain or isinstance(quantizer, LSQPlus)):
        return quantizer
    raise OptionsError(
        f"post-training quantization sets step sizes, and {quantizer.spec.method} has none of their kind",
        where=name,
        hint="use lsq, lsq_plus or rlq, or train with this method",
    )


def set_step(quantizer: LearnedStep, seen: Seen, method: Observer = "mse", percent: float = 99.9) -> None:
    """Give a quantizer its step size and signedness; it is initialised from then on.

    minmax: everything fits into the range. percentile: all but (100 - percent) % at each end do.
    mse: the step of least squared error among `SEARCH_POINTS` equal fractions of MinMax's; with an offset, both bounds.
    """
    signed = quantizer.role == "weight" or bool(seen.low.min() < SIGNED_BELOW)
    qmin, qmax = level_range(quantizer.spec.bits, signed, bool(quantizer.spec.param("symmetric_narrow", False)))
    low, high = seen.low, seen.high
    if method == "percentile":
        outside = (100 - percent) / 100
        low, high = torch.quantile(seen.values, torch.tensor((outside, 1 - outside), device=low.device), dim=1)
    offset = quantizer.shift if isinstance(quantizer, LSQPlus) else None
    if offset is not None:
        if method == "mse":
            low, high = search_bounds(seen.values, low, high, qmax - qmin)
        step = range_step(torch.zeros_like(low), high - low, 0, qmax - qmin)
    else:
        step = range_step(low, high, qmin, qmax)
        if method == "mse":
            step = search_step(seen.values, step, qmin, qmax)
    with torch.no_grad():
        quantizer.step.copy_(step.view_as(quantizer.step))
        if offset is not None:
            offset.copy_((low - qmin * step).view_as(offset))
    quantizer.signed.fill_(signed)
    quantizer.initialised.fill_(True)


def range_step(low: Tensor, high: Tensor, qmin: int, qmax: int) -> Tensor:
    """The smallest step whose codes hold [low, high], any shape; 1 for a range that is a single zero.

    >>> range_step(torch.tensor([-1.0]), torch.tensor([3.5]), -8, 7)
    tensor([0.5000])
    """
    step = torch.maximum(high / qmax, low / qmin if qmin else torch.zeros_like(low)).clamp_min(0)
    return torch.where(step > 0, step, 1.0)


def search_step(values: Tensor, widest: Tensor, qmin: int, qmax: int, points: int = SEARCH_POINTS) -> Tensor:
    """For each row of `values` (rows, n) the step of least squared error among i / points of `widest` (rows,)."""
    best, least = widest.clone(), torch.full_like(widest, torch.inf)
    for part in range(points, 0, -1):
        step = (widest * (part / points)).unsqueeze(1)
        error = (values / step).round_().clamp_(qmin, qmax).mul_(step).sub_(values).square_().mean(1)
        better = error < least
        best, least = torch.where(better, step[:, 0], best), torch.where(better, error, least)
    return best


def search_bounds(values: Tensor, low: Tensor, high: Tensor, top: int, points: int = SEARCH_POINTS) -> tuple[Tensor, Tensor]:
    """(low, high), each (1,), of the codes 0 .. top with least squared error over `values` (1, n).

    The upper bound is searched, then the lower, twice: each among equal fractions of its distance to the median.
    """
    middle = values.median(1).values
    bounds = {"low": low, "high": high}
    widest = dict(bounds)
    for side in ("high", "low", "high", "low"):
        least = torch.full_like(low, torch.inf)
        for part in range(points, 0, -1):
            tried = {**bounds, side: middle + (widest[side] - middle) * (part / points)}
            step = ((tried["high"] - tried["low"]) / top).clamp_min(TINY)
            coded = ((values - tried["low"]) / step).round_().clamp_(0, top).mul_(step).add_(tried["low"])
            error = coded.sub_(values).square_().mean(1)
            if error < least:
                best, least = tried, error
        bounds = best
    return bounds["low"], bounds["high"]


def _see(x: Tensor, quantizer: LearnedStep, generator: torch.Generator) -> Seen:
    x = x.float()
    rows = x.reshape(1, -1) if quantizer.step.dim() == 0 else x.transpose(0, quantizer.channel_dim).reshape(x.shape[0], -1)
    low, high = rows.amin(1), rows.amax(1)
    if quantizer.role == "act" and rows.shape[1] > VALUES_PER_BATCH:
        chosen = torch.randint(rows.shape[1], (VALUES_PER_BATCH,), generator=generator)
        rows = rows[:, chosen.to(rows.device)]
    return Seen(rows.clone(), low, high)
