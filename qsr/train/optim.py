"""Adam or AdamW over named parameter groups.

Groups come from `qsr.quant.parameter_groups`: `weights`, `step` (quantizer step sizes), `shift` (activation shifts)
and `shortcut` (scalars of depth-dynamic blocks). Only weights decay: pulling a step size towards zero would undo
what the quantizer learns. The optimiser's state is saved under parameter names, so that it does not depend on an order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from qsr.options.schema import Optim
from qsr.quant import parameter_groups, quantizers
from qsr.train.schedules import Schedule


def build(network: nn.Module, options: Optim, lr: float | None = None) -> Optimizer:
    """One group per kind of parameter; each keeps its base learning rate as `base_lr`. `lr` overrides the weights' rate.

    With `lr_unit: step` every step and shift is a group of its own, its rate counted in the quantizer's present unit; a
    resumed optimiser gets the units of the start back (`load`). Fused kernels are used where there are some: they are
    elementwise, hence as deterministic as the plain loop.
    """
    base = lr or options.lr
    rates = {"step": options.step_lr or base, "shift": options.shift_lr or base}
    units = {name: quantizer.unit() for name, quantizer in quantizers(network)} if options.lr_unit == "step" else {}
    groups = []
    for kind, named in parameter_groups(network).items():
        trained = [(name, weight) for name, weight in named if weight.requires_grad]
        rate, decay = rates.get(kind, base), options.weight_decay if kind == "weights" else 0.0
        if units and kind in rates:
            groups += [_group(kind, [one], rate, 0.0, units[one[0].rpartition(".")[0]]) for one in trained]
        elif trained:
            groups.append(_group(kind, trained, rate, decay))
    kind_of = torch.optim.AdamW if options.type == "AdamW" else torch.optim.Adam
    return kind_of(groups, betas=options.betas, fused=_can_fuse(network))


def _group(
    kind: str, named: list[tuple[str, nn.Parameter]], rate: float, decay: float, unit: float | None = None
) -> dict[str, Any]:
    base = rate * (1.0 if unit is None else unit)
    return {
        "name": kind,
        "names": [name for name, _ in named],
        "params": [weight for _, weight in named],
        "lr": base,
        "base_lr": base,
        "rate": rate,
        "unit": unit,
        "weight_decay": decay,
    }


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
    units = ((group["names"][0], group["unit"]) for group in optimiser.param_groups if group["unit"] is not None)
    return found | {f"{name}|unit": torch.tensor(unit, dtype=torch.float64) for name, unit in units}


def load(optimiser: Optimizer, saved: Mapping[str, Tensor]) -> None:
    """Inverse of `state`, into a fresh optimiser; tensors take device and memory format of their parameter."""
    weights = dict(_named(optimiser))
    owner = {name: group for group in optimiser.param_groups for name in group["names"]}
    for key, value in saved.items():
        name, _, slot = key.rpartition("|")
        if slot == "unit":
            owner[name] |= {"unit": value.item(), "base_lr": owner[name]["rate"] * value.item()}
            continue
        weight = weights[name]
        if slot == "step":
            optimiser.state[weight][slot] = value.to(weight.device if optimiser.defaults["fused"] else "cpu")
        else:
            optimiser.state[weight][slot] = torch.empty_like(weight, requires_grad=False).copy_(value)


def _named(optimiser: Optimizer) -> list[tuple[str, nn.Parameter]]:
    return [pair for group in optimiser.param_groups for pair in zip(group["names"], group["params"], strict=True)]


def _can_fuse(network: nn.Module) -> bool:
    return all(weight.device.type in ("cpu", "cuda") for weight in network.parameters())
