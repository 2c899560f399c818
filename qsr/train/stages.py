"""What a run consists of: full-precision training, then the quantized one; with DQA a warm-up and a joint phase.

One global iteration counter runs through all stages. A stage says what network it trains, at which rate and with which
loss; how its first weights come about is the same for all of them (`begin`). The loss of a stage is a callable, so that
another term (a distillation, a regulariser) is another callable and the loop stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from qsr import archs
from qsr.archs import convert, depth
from qsr.options.schema import Dqa, Options, Train
from qsr.quant import LayerReport, calibrate
from qsr.train import losses, schedules
from qsr.train.losses import Pixel
from qsr.train.schedules import Schedule

Terms = dict[str, Tensor]
Loss = Callable[[nn.Module, Tensor, Tensor, int], tuple[Tensor, Terms]]
"""(network, lq, gt, iteration) -> (scalar to minimise, its parts by name for the log)."""


@dataclass(frozen=True)
class Stage:
    """Iterations `first + 1 .. last`, one network, one loss.

    options: those of this stage's network; a full-precision stage has neither `quant` nor `depth`.
    schedule: rate of step t, where t counts from `origin`; lr: its base rate.
    continues: the stage before trained this very network: it, its optimiser and its average go on.
    freeze: how to fix the order of blocks on entering (DQA's joint phase), or None.
    """

    name: str
    first: int
    last: int
    options: Options
    loss: Loss
    schedule: Schedule
    origin: int
    lr: float
    continues: bool = False
    freeze: depth.Importance | None = None

    def build(self) -> tuple[nn.Module, LayerReport]:
        """The network's structure with its layer table; weights are the initialisation's until a checkpoint fills them."""
        network = archs.build(self.options)
        return network, archs.quantize(network, self.options)

    def begin(
        self, before: nn.Module | None, pictures: Iterable[Tensor], device: torch.device
    ) -> tuple[nn.Module, LayerReport]:
        """The network with its first weights: from the stage before, else from path.pretrain_network_g, else random.

        pictures: LR batches (N, 3, h, w) on `device` that set step sizes and signedness; one at least, since a quantizer
        that starts with the first training batch would start differently on each rank. Runs when a stage is entered,
        never on resume: a second calibration would move the steps that training has found.
        """
        network = archs.build(self.options)
        path = self.options.path
        if before is not None:
            archs.start_from(network, before)
        elif path.pretrain_network_g:
            convert.load_start(network, path.pretrain_network_g, path.param_key_g, path.strict_load_g)
        report = archs.quantize(network, self.options)
        network.to(device)
        if self.options.quant is not None:
            calibrate(network, pictures, max(1, self.options.quant.calibration_batches))
        return network, report


def plan(options: Options) -> tuple[Stage, ...]:
    """The stages of a run, in order; their lengths add up to train.fp_iter + train.total_iter."""
    train = train_section(options)
    first = (_full_precision(options, train),) if train.fp_iter else ()
    main = _main(options, train)
    return first + (_with_depths(main, options.depth.dqa, train) if options.depth.dqa else (main,))


def train_section(options: Options) -> Train:
    """`options.train`; the caller has made sure that the file has one."""
    assert options.train is not None
    return options.train


def total_iterations(options: Options) -> int:
    return train_section(options).fp_iter + train_section(options).total_iter


def plain_loss(pixel: Pixel) -> Loss:
    """One forward pass, one pixel loss."""

    def loss(network: nn.Module, lq: Tensor, gt: Tensor, iteration: int) -> tuple[Tensor, Terms]:
        value = pixel(network(lq), gt)
        return value, {"l_pix": value.detach()}

    return loss


def joint_loss(pixel: Pixel, dqa: Dqa) -> Loss:
    """sum over depths of weight * pixel loss, same mini-batch, one backward pass (algorithms 1.2).

    With `sandwich` only the largest and the smallest sub-network run on odd iterations.
    """
    weights = dqa.weights or (1 / len(dqa.depths),) * len(dqa.depths)

    def loss(network: nn.Module, lq: Tensor, gt: Tensor, iteration: int) -> tuple[Tensor, Terms]:
        terms: Terms = {}
        total: Tensor | None = None
        for place, (blocks, weight) in enumerate(zip(dqa.depths, weights, strict=True)):
            if dqa.sandwich and iteration % 2 and 0 < place < len(dqa.depths) - 1:
                continue
            depth.set_depth(network, blocks)
            part = pixel(network(lq), gt)
            terms[f"l_pix_{blocks}"] = part.detach()
            total = weight * part if total is None else total + weight * part
        depth.set_depth(network, None)
        assert total is not None
        return total, terms

    return loss


def _full_precision(options: Options, train: Train) -> Stage:
    cosine = schedules.cosine((train.fp_iter,), (1.0,), train.scheduler.eta_min)
    return Stage(
        name="full-precision",
        first=0,
        last=train.fp_iter,
        options=archs.base_options(options),
        loss=plain_loss(losses.build(train.pixel_opt)),
        schedule=schedules.with_warmup(cosine, train.warmup_iter),
        origin=0,
        lr=train.fp_lr or train.optim_g.lr,
    )


def _main(options: Options, train: Train) -> Stage:
    return Stage(
        name="quantized" if options.quant else "train",
        first=train.fp_iter,
        last=train.fp_iter + train.total_iter,
        options=options,
        loss=plain_loss(losses.build(train.pixel_opt)),
        schedule=schedules.build(train.scheduler, train.total_iter, train.warmup_iter),
        origin=train.fp_iter,
        lr=train.optim_g.lr,
    )


def _with_depths(main: Stage, dqa: Dqa, train: Train) -> tuple[Stage, ...]:
    """Warm-up at full depth, then all depths; one network, one schedule."""
    turn = main.first + round(dqa.warmup * train.total_iter)
    joint = replace(
        main, name="joint depths", first=turn, loss=joint_loss(losses.build(train.pixel_opt), dqa), freeze=dqa.importance
    )
    if turn == main.first:
        return (joint,)
    return (replace(main, name="warm-up at full depth", last=turn), replace(joint, continues=True))
