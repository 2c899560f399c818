"""Learned rounding: each weight goes up or down so that its block's output stays what it was, not so that it moves least.

Sources: Nagel et al., Up or Down? Adaptive Rounding (AdaRound), ICML 2020; Li et al., BRECQ, ICLR 2021 (block by block,
inputs from the network as quantized so far, targets from the full-precision one).

    w_hat = v clip(floor(w / v) + h(V), Qn, Qp),    h(V) = clip(1.2 sigmoid(V) - 0.1, 0, 1)
    loss  = ||block(x_hat) - block_fp(x)||^2 / the same with nearest rounding  +  REGULARISER * mean(1 - |2 h - 1|^beta)

beta falls from 20 to 2 after a warm-up without the second term, which drives every h to 0 or 1. Step sizes of the block's
activations are learned beside V. At the end each weight is replaced by the level that it was rounded to, so that the
block's ordinary quantizers give exactly that level and the model file needs nothing new. A block keeps nearest rounding
where the network's output, on a batch that nothing was learned from, does not come nearer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from qsr.archs.features import block_outputs
from qsr.errors import OptionsError
from qsr.ptq.bounds import frozen
from qsr.ptq.modes import full_precision, layers
from qsr.quant import QConv2d, QLinear
from qsr.quant.base import level_range
from qsr.quant.fused import positive
from qsr.quant.learned_step import LearnedStep

STRETCH = (-0.1, 1.1)
REGULARISER = 0.2
WARM_UP = 0.2
BETA = (20.0, 2.0)
ROUNDING_RATE = 0.05
STEP_RATE = 0.002  # in units of the step
DRAWN = 8  # patches of one iteration


class SoftRounding(nn.Module):
    """Stands in for a layer's weight quantizer while its rounding is learned; `hard` gives the levels at the end."""

    def __init__(self, layer: QConv2d | QLinear, quantizer: LearnedStep) -> None:
        super().__init__()
        weight = layer.weight.detach()
        step = positive(quantizer.step)
        self.step = step if step.dim() == 0 else step.view(-1, *[1] * (weight.dim() - 1))
        self.qmin, self.qmax = level_range(quantizer.spec.bits, True, bool(quantizer.spec.param("symmetric_narrow", False)))
        u = weight / self.step
        self.floor = u.floor()
        share = ((u - self.floor) - STRETCH[0]) / (STRETCH[1] - STRETCH[0])
        self.v = nn.Parameter(torch.logit(share))  # h(V) starts at the fraction: the block begins unquantized

    def h(self) -> Tensor:
        return (torch.sigmoid(self.v) * (STRETCH[1] - STRETCH[0]) + STRETCH[0]).clamp(0, 1)

    def forward(self, weight: Tensor) -> Tensor:
        return (self.floor + self.h()).clamp(self.qmin, self.qmax) * self.step

    def hard(self) -> Tensor:
        return (self.floor + (self.h() >= 0.5)).clamp(self.qmin, self.qmax) * self.step


def learn_rounding(
    network: nn.Module,
    batches: Sequence[Tensor],
    iterations: int,
    seed: int = 0,
    notify: Callable[[str, float, float], None] | None = None,
) -> None:
    """Round the weights of an initialised network block by block, in place, in eval mode.

    batches: inputs on the network's device; all blocks' full-precision outputs are kept in memory.
    iterations: of each block. notify: called with a block's name and the network's squared error on the last batch, which
    is held out, with nearest and with learned rounding of this block. Raises OptionsError for fewer than two batches.
    """
    if len(batches) < 2:
        raise OptionsError("learned rounding needs two batches at least", hint="use more calibration patches")
    generator = torch.Generator().manual_seed(seed)
    *learned, held = batches
    blocks = units(network)
    with full_precision(network), torch.no_grad():  # all of it now: afterwards the first blocks' weights are rounded ones
        wanted = network(held)
        targets = [[output for _, output in calls] for calls in _through(network, [block for _, block in blocks], learned)]
    least = _error(network, (held,), wanted)
    for (name, block), outputs in zip(blocks, targets, strict=True):
        target = torch.cat(outputs)
        given = [inputs for inputs, _ in _through(network, [block], learned)[0]]
        arguments = (torch.cat([inputs[0] for inputs in given]), *given[0][1:])
        kept = {key: value.clone() for key, value in block.state_dict().items()}
        _learn_block(block, arguments, target, iterations, generator)
        error = _error(network, (held,), wanted)
        if not error < least:
            block.load_state_dict(kept)
        if notify is not None:
            notify(name, least, error)
        least = min(least, error)


def units(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """The network's blocks that hold quantized layers, then each quantized layer outside of them, in forward order."""
    blocks = [(name, block) for name, block in block_outputs(network) if layers(block)]
    inside = tuple(f"{name}." for name, _ in blocks)
    single = [(name, network.get_submodule(name)) for name in layers(network) if not name.startswith(inside)]
    order = {name: place for place, (name, _) in enumerate(network.named_modules())}
    return sorted(blocks + single, key=lambda unit: order[unit[0]])


def _learn_block(
    block: nn.Module, arguments: tuple[Any, ...], target: Tensor, iterations: int, generator: torch.Generator
) -> None:
    """Weights and activation steps are changed."""
    unit = _error(block, arguments, target)
    if unit == 0:
        return
    ordinary = {layer: quantizer for layer in _quantized(block) if isinstance(quantizer := layer.weight_quant, LearnedStep)}
    soft = {layer: SoftRounding(layer, quantizer) for layer, quantizer in ordinary.items()}
    steps = [quantizer.step for layer in soft if isinstance(quantizer := layer.act_quant, LearnedStep)]
    for layer, rounding in soft.items():
        layer.weight_quant = rounding  # type: ignore[assignment]
    try:
        with frozen(block, [*(rounding.v for rounding in soft.values()), *steps]):
            _descend(block, arguments, target, unit, list(soft.values()), steps, iterations, generator)
    finally:
        for layer, quantizer in ordinary.items():
            layer.weight_quant = quantizer
    with torch.no_grad():
        for layer, rounding in soft.items():
            layer.weight.copy_(rounding.hard())


def _descend(
    block: nn.Module,
    arguments: tuple[Any, ...],
    target: Tensor,
    unit: float,
    soft: Sequence[SoftRounding],
    steps: Sequence[nn.Parameter],
    iterations: int,
    generator: torch.Generator,
) -> None:
    rates = [STEP_RATE * float(step.detach().abs()) for step in steps]
    optimiser = torch.optim.Adam(
        [{"params": [rounding.v for rounding in soft], "lr": ROUNDING_RATE}]
        + [{"params": [step], "lr": rate} for step, rate in zip(steps, rates)]
    )
    batch = min(DRAWN, len(target))
    for iteration in range(iterations):
        chosen = torch.randint(len(target), (batch,), generator=generator).to(target.device)
        loss = (block(arguments[0][chosen], *arguments[1:]) - target[chosen]).square().mean() / unit
        progress = (iteration / iterations - WARM_UP) / (1 - WARM_UP)
        if progress > 0:
            beta = BETA[1] + (BETA[0] - BETA[1]) * 0.5 * (1 + math.cos(math.pi * progress))
            loss = loss + REGULARISER * torch.stack([_undecided(rounding, beta) for rounding in soft]).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()


def _undecided(rounding: SoftRounding, beta: float) -> Tensor:
    return (1 - (2 * rounding.h() - 1).abs().pow(beta)).mean()


def _quantized(block: nn.Module) -> list[QConv2d | QLinear]:
    found = (module for module in block.modules() if isinstance(module, QConv2d | QLinear))
    return [module for module in found if module.weight_quant is not None]


@torch.no_grad()
def _error(block: nn.Module, arguments: tuple[Any, ...], target: Tensor) -> float:
    return float((block(*arguments) - target).square().mean())


@torch.no_grad()
def _through(
    network: nn.Module, blocks: Sequence[nn.Module], batches: Sequence[Tensor]
) -> list[list[tuple[tuple[Any, ...], Tensor]]]:
    """For each block (positional inputs, output) of each batch through the network; a block is called once per forward."""
    found: list[list[tuple[tuple[Any, ...], Tensor]]] = [[] for _ in blocks]

    def keep(place: int, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        found[place].append((inputs, output))

    hooks = [block.register_forward_hook(partial(keep, place)) for place, block in enumerate(blocks)]
    try:
        for batch in batches:
            network(batch)
    finally:
        for hook in hooks:
            hook.remove()
    return found
