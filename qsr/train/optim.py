"""Adam or AdamW over named parameter groups.

Groups come from `qsr.quant.parameter_groups`: `weights`, `step` (quantizer step sizes), `shift` (activation shifts)
and `shortcut` (scalars of depth-dynamic blocks). Only weights decay: pulling a step size towards zero would undo
what the quantizer learns. The optimiser's state is saved under parameter names, so that it does not depend on an order.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from qsr.options.schema import Optim
from qsr.quant import parameter_groups
from qsr.train.schedules import Schedule


def build(network: nn.Module, options: Optim, lr: float | None = None) -> Optimizer:
    """One group per kind of parameter; each keeps its base learning rate as `base_lr`. `lr` overrides the weights' rate.

    Fused kernels are used where there are some: they are elementwise, hence as deterministic as the plain loop.
    """
    base = lr or options.lr
    rates = {"step": options.step_lr or base, "shift": options.shift_lr or base}
    groups = []
    for kind, named in parameter_groups(network).items():
        trained = [(name, weight) for name, weight in named if weight.requires_grad]
        if trained:
            groups.append(
                {
                    "name": kind,
                    "names": [name for name, _ in trained],
                    "params": [weight for _, weight in trained],
                    "lr": rates.get(kind, base),
                    "base_lr": rates.get(kind, base),
                    "weight_decay": options.weight_decay if kind == "weights" else 0.0,
                }
            )
    kind_of = torch.optim.AdamW if options.type == "AdamW" else torch.optim.Adam
    return kind_of(groups, betas=options.betas, fused=_can_fuse(network))


def set_lr(optimiser: Optimizer, schedule: Schedule, t: int) -> float:
    """Give every group its rate of step t; returns the weights' rate."""
    for group in optimiser.param_groups:
        group["lr"] = schedule(t, group["base_lr"])
    return optimiser.param_groups[0]["lr"]


def state(optimiser: Optimizer) -> dict[str, Tensor]:
    """`<parameter>|<slot>` -> tensor, for instance `body.0.conv1.weight|exp_avg`."""
    found: dict[str, Tensor] = {}
    for name, weight in _named(optimiser):
        for slot, value in optimiser.state.get(weight, {}).items():
            found[f"{name}|{slot}"] = value
    return found


def load(optimiser: Optimizer, saved: Mapping[str, Tensor]) -> None:
    """Inverse of `state`, into a fresh optimiser; tensors take device and memory format of their parameter."""
    weights = dict(_named(optimiser))
    for key, value in saved.items():
        name, _, slot = key.rpartition("|")
        weight = weights[name]
        if slot == "step":
            optimiser.state[weight][slot] = value.to(weight.device if optimiser.defaults["fused"] else "cpu")
        else:
            optimiser.state[weight][slot] = torch.empty_like(weight, requires_grad=False).copy_(value)


def _named(optimiser: Optimizer) -> list[tuple[str, nn.Parameter]]:
    return [pair for group in optimiser.param_groups for pair in zip(group["names"], group["params"], strict=True)]


def _can_fuse(network: nn.Module) -> bool:
    return all(weight.device.type in ("cpu", "cuda") for weight in network.parameters())
