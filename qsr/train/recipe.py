"""What one training step minimises: loss terms put together, each a callable around another.

A term is added here and nowhere else: the loop and the stages see one callable. What belongs to one forward pass
(penalties, distillation) goes around `plain_loss`; `joint_loss` takes the whole of it once per depth.
"""

from __future__ import annotations

from torch import Tensor, nn

from qsr.archs import depth
from qsr.options.schema import Dqa, Options, Train
from qsr.quant.progress import penalised, scheduled, total_penalty
from qsr.train import losses
from qsr.train.dbt import distilled
from qsr.train.losses import Loss, Pixel, Remembered, Terms


def full_precision_loss(train: Train) -> Loss:
    """The pixel loss alone."""
    return plain_loss(losses.build(train.pixel_opt))


def quantized_loss(options: Options, train: Train) -> Loss:
    """Everything that `options` ask for in the stages after full precision; progress counts over all of these."""
    loss = full_precision_loss(train)
    if options.quant is not None:
        loss = with_progress(with_penalties(loss), train.fp_iter, train.total_iter)
    return distilled(loss, train.distill, options) if train.distill else loss


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


def with_progress(one_pass: Loss, origin: int, total: int) -> Loss:
    """Before `one_pass`, tell the quantizers how far training is: 0 at iteration origin + 1, 1 - 1 / total at the last one.

    A function of the iteration alone, like the learning rate, so a resumed run goes on exactly.
    """
    found = Remembered(scheduled)

    def loss(network: nn.Module, lq: Tensor, gt: Tensor, iteration: int) -> tuple[Tensor, Terms]:
        for quantizer in found(network):
            quantizer.set_progress((iteration - 1 - origin) / total)
        return one_pass(network, lq, gt, iteration)

    return loss
