"""The training track's time: a binarized network and its full-precision twin take turns of real training steps.

A step is all that `qsr train` does in one: loss with its penalties, distillation and schedules, backward pass, optimiser,
average of the weights. The patches are noise of the training's shape, made before the clock runs: reading pictures costs
both the same and is no property of an operator.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from qsr.archs.modelfile import read_info, read_state
from qsr.bibench.cells import Cell
from qsr.options import from_json
from qsr.train import optim, stages
from qsr.train.trainee import make

WARM_UP = 2  # steps of each before the first turn


def measure(cell: Cell) -> dict[str, Any]:
    """Seconds per 1000 iterations of both (medians of turns), and the ratio twin / network (median of the turns' ratios)."""
    rounds, length = int(cell.settings["rounds"]), int(cell.settings["iterations"])
    runs = (stepper(Path(cell.model)), stepper(Path(cell.twin)))
    for run in runs:
        turn(run, WARM_UP)
    ours: list[float] = []
    theirs: list[float] = []
    for number in range(rounds):
        # who goes first changes, so that nobody always runs in the other's wake
        for place in (0, 1) if number % 2 == 0 else (1, 0):
            (ours, theirs)[place].append(turn(runs[place], length) / length)
    return {
        "seconds_per_1000": {"binary": 1000 * statistics.median(ours), "twin": 1000 * statistics.median(theirs)},
        "ratio": statistics.median(full / own for own, full in zip(ours, theirs, strict=True)),
        "threads": torch.get_num_threads(),
        "turns": {"binary": ours, "twin": theirs},
    }


def turn(step: Callable[[], None], count: int) -> float:
    """Seconds that `count` steps take."""
    began = time.perf_counter()
    for _ in range(count):
        step()
    return time.perf_counter() - began


def stepper(model: Path) -> Callable[[], None]:
    """A function that takes one training step of the network of an experiment, from its trained weights on."""
    options = from_json(read_info(model).options)
    stage = stages.plan(options)[-1]
    network, report = stage.build()
    network.load_state_dict(read_state(model))
    trainee = make(network, report, stage, torch.device("cpu"))
    dataset = options.datasets["train"]
    shape = (dataset.batch_size_per_gpu, 3, dataset.gt_size, dataset.gt_size)
    generator = torch.Generator().manual_seed(0)
    gt = torch.rand(shape, generator=generator).to(memory_format=trainee.memory_format)
    lq = torch.nn.functional.avg_pool2d(gt, options.scale).to(memory_format=trainee.memory_format)
    iteration = stage.first

    def step() -> None:
        nonlocal iteration
        iteration = min(iteration + 1, stage.last)
        t = iteration - 1 - stage.origin
        optim.set_lr(trainee.optimiser, stage.schedule, t)
        trainee.optimiser.zero_grad(set_to_none=True)
        stage.loss(trainee.forward, lq, gt, iteration)[0].backward()
        trainee.optimiser.step()
        if trainee.ema:
            trainee.ema.update(t)

    return step
