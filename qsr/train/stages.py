"""What a run consists of: full-precision training, then the quantized one; with DQA a warm-up and a joint phase.

One global iteration counter runs through all stages. A stage says what network it trains, at which rate and with which
loss (recipe.py); how its first weights come about is the same for all of them (`begin`).

`train.activations_first` is a stage with a network of its own, whose weights have 32 bits, and not a switch in the
quantized one: its model file then is what was validated, whoever loads it, and the weights' quantizers start from the
weights that it has trained instead of those it began with. The price is that Adam's moments start again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import islice

import torch
from torch import Tensor, nn

from qsr import archs
from qsr.archs import convert, depth
from qsr.options.schema import Dqa, Options, Train
from qsr.quant import LayerReport, calibrate, quantizers
from qsr.quant.report import FULL_BITS
from qsr.train import recipe, schedules
from qsr.train.losses import Loss
from qsr.train.schedules import Schedule


@dataclass(frozen=True)
class Stage:
    """Iterations `first + 1 .. last`, one network, one loss.

    options: those of this stage's network; a full-precision stage has neither `quant` nor `depth`.
    schedule: rate of step t, where t counts from `origin`; lr: its base rate.
    continues: the stage before trained this very network: it, its optimiser and its average go on.
    freeze: how to fix the order of blocks on entering (DQA's joint phase), or None.
    balance: standard deviation that residual branches get over their stream's on entering, or None to leave them.
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
    balance: float | None = None

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
        if before is None and path.pretrain_network_g:
            convert.load_start(network, path.pretrain_network_g, path.param_key_g, path.strict_load_g)
        report = archs.quantize(network, self.options)
        if before is not None:  # after quantizing: what the stage before has learned of the activations comes along
            archs.start_from(network, before)
        network.to(device)
        if self.options.quant is not None:
            self._calibrate(network, list(islice(pictures, max(1, self.options.quant.calibration_batches))))
        return network, report

    def _calibrate(self, network: nn.Module, pictures: list[Tensor]) -> None:
        """Set step sizes and signedness, after scaling the branches where that is due.

        In this order, because the scaling changes weights and every feature after them. It measures in the quantized
        network (sign(x) has another size than x) and so sets the quantizers itself, from one batch: they start again.
        """
        if self.balance is not None:
            fresh = [quantizer for _, quantizer in quantizers(network) if not quantizer.initialised]
            archs.balance(network, pictures[0], self.balance)
            for quantizer in fresh:
                quantizer.initialised.fill_(False)
        calibrate(network, pictures)


def plan(options: Options) -> tuple[Stage, ...]:
    """The stages of a run, in order; their lengths add up to train.fp_iter + train.total_iter."""
    train = train_section(options)
    first = (_full_precision(options, train),) if train.fp_iter else ()
    main = _main(options, train)
    opening: tuple[Stage, ...] = ()
    turn = main.first + round(train.activations_first * train.total_iter)
    if turn > main.first:
        opening = (replace(main, name="activations only", last=turn, options=_activations_only(options)),)
        main = replace(main, first=turn, balance=None)  # trained branches have the size that they need
    return first + opening + (_with_depths(main, options.depth.dqa) if options.depth.dqa else (main,))


def train_section(options: Options) -> Train:
    """`options.train`; the caller has made sure that the file has one."""
    assert options.train is not None
    return options.train


def total_iterations(options: Options) -> int:
    return train_section(options).fp_iter + train_section(options).total_iter


def _full_precision(options: Options, train: Train) -> Stage:
    cosine = schedules.cosine((train.fp_iter,), (1.0,), train.scheduler.eta_min)
    return Stage(
        name="full-precision",
        first=0,
        last=train.fp_iter,
        options=archs.base_options(options),
        loss=recipe.full_precision_loss(train),
        schedule=schedules.with_warmup(cosine, train.warmup_iter),
        origin=0,
        lr=train.fp_lr or train.optim_g.lr,
    )


def _main(options: Options, train: Train) -> Stage:
    quant = options.quant
    return Stage(
        name="quantized" if quant else "train",
        first=train.fp_iter,
        last=train.fp_iter + train.total_iter,
        options=options,
        loss=recipe.quantized_loss(options, train),
        schedule=schedules.build(train.scheduler, train.total_iter, train.warmup_iter),
        origin=train.fp_iter,
        lr=train.optim_g.lr,
        balance=quant.branch_ratio if quant and quant.start == "balanced" else None,
    )


def _activations_only(options: Options) -> Options:
    """`options` with real weights in every layer."""
    assert options.quant is not None, "refused by the checks of options"
    rules = tuple(rule.model_copy(update={"w_bits": FULL_BITS}) for rule in options.quant.rules)
    return options.model_copy(update={"quant": options.quant.model_copy(update={"w_bits": FULL_BITS, "rules": rules})})


def _with_depths(main: Stage, dqa: Dqa) -> tuple[Stage, ...]:
    """Warm-up at full depth, then all depths; one network, one schedule."""
    turn = main.first + round(dqa.warmup * (main.last - main.first))
    joint = replace(main, name="joint depths", first=turn, loss=recipe.joint_loss(main.loss, dqa), freeze=dqa.importance)
    if turn == main.first:
        return (joint,)
    return (replace(main, name="warm-up at full depth", last=turn), replace(joint, continues=True))
