"""2DQuant's second half: the bounds of all quantizers, distilled from the full-precision network; weights stay frozen.

Source: Liu et al., 2DQuant: Low-bit Post-Training Quantization for Image Super-Resolution, NeurIPS 2024. Its first half,
the distribution-oriented search, is a least-squares search over both bounds of symmetric distributions and over the upper
bound of one-sided ones; with codes that contain zero that is `observers.search_step`, of weights per output channel.

    loss = mean |y - y_fp| + weight * mean over blocks of || F / ||F|| - F_fp / ||F_fp|| ||^2

F is a block's output; norms are over each picture. Deviations: a bound is its step size (times Qn or Qp), learned through
LSQ's gradient; the learning rate counts in units of the step, so that one number serves weights (0.01) and activations (10);
the norm is squared, and its weight is ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from qsr.archs.features import block_outputs
from qsr.errors import NumericalError
from qsr.ptq.modes import full_precision
from qsr.quant import quantizers

FEATURE_WEIGHT = 0.03
STEP_RATE = 0.03  # Adam's learning rate at the start, in units of each step size
TINY = 1e-12


class BlockFeatures:
    """Outputs of the network's blocks in the last forward; use in a `with` block."""

    def __init__(self, network: nn.Module) -> None:
        self.found: list[Tensor] = []
        self._hooks = [module.register_forward_hook(self._keep) for _, module in block_outputs(network)]

    def take(self) -> list[Tensor]:
        found, self.found = self.found, []
        return found

    def __enter__(self) -> BlockFeatures:
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _keep(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        self.found.append(output)


def distill_bounds(
    network: nn.Module,
    inputs: Tensor,
    iterations: int,
    *,
    batch: int = 8,
    seed: int = 0,
    feature_weight: float = FEATURE_WEIGHT,
    step_rate: float = STEP_RATE,
    notify: Callable[[int, float], None] | None = None,
) -> tuple[float, float]:
    """Train all step sizes (and shifts) of an initialised network, in place, in eval mode.

    inputs: (N, 3, h, w) on the network's device; each iteration draws `batch` of them, the first 2 `batch` judge.
    Returns the judges' loss before and after; where it did not fall, the steps are what they were.
    notify: called with (iteration, loss). Raises NumericalError for a loss that is NaN or Inf.
    """
    judge = inputs[: 2 * batch]
    rates = bounds_of(network, step_rate)
    bounds = list(rates)
    kept = [parameter.detach().clone() for parameter in bounds]
    with frozen(network, bounds), BlockFeatures(network) as features:
        with torch.no_grad():
            before = float(distillation_loss(network, judge, features, feature_weight))
        draws = torch.randint(len(inputs), (iterations, batch), generator=torch.Generator().manual_seed(seed))
        _descend(network, inputs, draws.to(inputs.device), rates, features, feature_weight, notify)
        with torch.no_grad():
            after = float(distillation_loss(network, judge, features, feature_weight))
    if not after < before:
        with torch.no_grad():
            for parameter, value in zip(bounds, kept):
                parameter.copy_(value)
    return before, min(before, after)


def bounds_of(network: nn.Module, step_rate: float) -> dict[nn.Parameter, float]:
    """Every step and shift -> its learning rate: `step_rate` times the mean step of its quantizer."""
    found: dict[nn.Parameter, float] = {}
    for _, quantizer in quantizers(network):
        for name, parameter in quantizer.named_parameters(recurse=False):
            if name in ("step", "shift"):
                found[parameter] = step_rate * float(quantizer.step.detach().abs().mean())
    return found


def _descend(
    network: nn.Module,
    inputs: Tensor,
    draws: Tensor,
    rates: dict[nn.Parameter, float],
    features: BlockFeatures,
    feature_weight: float,
    notify: Callable[[int, float], None] | None,
) -> None:
    optimiser = torch.optim.Adam([{"params": [bound], "lr": rate} for bound, rate in rates.items()])
    for iteration, chosen in enumerate(draws):
        for group, rate in zip(optimiser.param_groups, rates.values()):
            group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * iteration / len(draws)))
        loss = distillation_loss(network, inputs[chosen], features, feature_weight)
        if not torch.isfinite(loss):
            raise NumericalError(f"the distillation loss is {loss.item()} at iteration {iteration}")
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        if notify is not None:
            notify(iteration, loss.item())


def distillation_loss(network: nn.Module, batch: Tensor, features: BlockFeatures, feature_weight: float) -> Tensor:
    """The loss above for one batch of inputs; the network is its own teacher."""
    with torch.no_grad(), full_precision(network):
        target = network(batch)
        targets = features.take()
    output = network(batch)
    loss = (output - target).abs().mean()
    for ours, theirs in zip(features.take(), targets, strict=True):
        loss = loss + feature_weight * (_unit(ours) - _unit(theirs)).square().sum(1).mean() / len(targets)
    return loss


@contextmanager
def frozen(network: nn.Module, but: Sequence[nn.Parameter]) -> Iterator[None]:
    """Inside, only the parameters of `but` take gradients."""
    learned = {id(parameter) for parameter in but}
    states = {parameter: parameter.requires_grad for parameter in network.parameters()}
    for parameter in states:
        parameter.requires_grad_(id(parameter) in learned)
    try:
        yield
    finally:
        for parameter, state in states.items():
            parameter.requires_grad_(state)
            parameter.grad = None


def _unit(features: Tensor) -> Tensor:
    """Each picture's features as one vector of length 1: (N, ...) -> (N, n)."""
    flat = features.flatten(1)
    return flat / flat.norm(dim=1, keepdim=True).clamp_min(TINY)
