"""What one training step minimises: loss terms put together, each a callable around another.

A term is added here and nowhere else: the loop and the stages see one callable. `plain_loss` runs the network once,
`joint_loss` once per depth; `with_penalties` and distillation (dbt.py) belong to one forward pass and therefore go
inside, `with_progress` sets the scene for a whole step and goes outside.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from torch import Tensor, nn

from qsr.archs import depth
from qsr.options.schema import Dqa, Options, Train
from qsr.quant.progress import penalised, scheduled, total_penalty
from qsr.train import losses
from qsr.train.losses import Loss, Pixel, Terms

T = TypeVar("T")


class Remembered(Generic[T]):
    """`find(network)`, its answer kept for the network it was last asked about."""

    def __init__(self, find: Callable[[nn.Module], T]) -> None:
        self._find = find
        self._known: tuple[nn.Module, T] | None = None

    def __call__(self, network: nn.Module) -> T:
        if self._known is None or self._known[0] is not network:
            self._known = (network, self._find(network))
        return self._known[1]


def full_precision_loss(train: Train) -> Loss:
    """The pixel loss alone."""
    return plain_loss(losses.build(train.pixel_opt))


def quantized_loss(options: Options, train: Train, joint: Dqa | None = None) -> Loss:
    """Everything that `options` ask for in the stages after full precision; `joint`: at all depths.

    Progress counts from the first to the last of their iterations.
    """
    loss = plain_loss(losses.build(train.pixel_opt))
    if options.quant is not None:
        loss = with_penalties(loss)
    if joint is not None:
        loss = joint_loss(loss, joint)
    return loss if options.quant is None else with_progress(loss, train.fp_iter, train.total_iter)


def plain_loss(pixel: Pixel) -> Loss:
    """One forward pass, one pixel loss."""

    def loss(network: nn.Module, lq: Tensor, gt: Tensor, iteration: int) -> tuple[Tensor, Terms]:
        value = pixel(network(lq), gt)
        return value, {"l_pix": value.detach()}

    return loss


def joint_loss(one_pass: Loss, dqa: Dqa) -> Loss:
    """sum over depths of weight * one_pass, same mini-batch, one backward pass (algorithms 1.2).

    With `sandwich` only the largest and the smallest sub-network run on odd iterations. Terms are named `<term>_<depth>`.
    """
    weights = dqa.weights or (1 / len(dqa.depths),) * len(dqa.depths)

    def loss(network: nn.Module, lq: Tensor, gt: Tensor, iteration: int) -> tuple[Tensor, Terms]:
        terms: Terms = {}
        total: Tensor | None = None
        for place, (blocks, weight) in enumerate(zip(dqa.depths, weights, strict=True)):
            if dqa.sandwich and iteration % 2 and 0 < place < len(dqa.depths) - 1:
                continue
            depth.set_depth(network, blocks)
            part, parts = one_pass(network, lq, gt, iteration)
            terms |= {f"{name}_{blocks}": term for name, term in parts.items()}
            total = weight * part if total is None else total + weight * part
        depth.set_depth(network, None)
        assert total is not None
        return total, terms

    return loss


def with_penalties(one_pass: Loss) -> Loss:
    """`one_pass` plus what the quantizers ask for after it (`Quantizer.penalty`), as the term `l_bits`."""
    found = Remembered(penalised)

    def loss(network: nn.Module, lq: Tensor, gt: Tensor, iteration: int) -> tuple[Tensor, Terms]:
        value, terms = one_pass(network, lq, gt, iteration)
        penalty = total_penalty(found(network))
        if penalty is None:
            return value, terms
        return value + penalty, terms | {"l_bits": penalty.detach()}

    return loss


def with_progress(step: Loss, origin: int, total: int) -> Loss:
    """Before `step`, tell the quantizers how far training is: 0 at iteration origin + 1, 1 - 1 / total at the last one.

    A function of the iteration alone, like the learning rate, so a resumed run goes on exactly.
    """
    found = Remembered(scheduled)

    def loss(network: nn.Module, lq: Tensor, gt: Tensor, iteration: int) -> tuple[Tensor, Terms]:
        for quantizer in found(network):
            quantizer.set_progress((iteration - 1 - origin) / total)
        return step(network, lq, gt, iteration)

    return loss
