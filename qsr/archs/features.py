"""Where a network's features can be looked at: what distillation compares between teacher and student.

The modules are those of the network itself, at the same names in both; a forward hook on one sees its output.
"""

from __future__ import annotations

from torch import nn

from qsr.archs.mixer import Mixer
from qsr.archs.srresnet import EdsrLayout, MsrLayout
from qsr.archs.swinir import SwinIR


def block_outputs(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """The residual blocks, (N, features, h, w), or RSTBs, (N, h, w, features), in order with their dotted names.

    [] for networks that qsr does not build itself. Blocks that a sub-network skips are listed and do not run.
    """
    if isinstance(network, EdsrLayout | MsrLayout | Mixer):
        return [(f"body.{number}", block) for number, block in network.body.named_children()]
    if isinstance(network, SwinIR):
        return [(f"layers.{number}", block) for number, block in network.layers.named_children()]
    return []


def body_output(network: nn.Module) -> nn.Module | None:
    """The module whose output, (N, features, h, w), is all that the tail sees: after the global skip, where there is one.

    None for networks that qsr does not build itself.
    """
    if isinstance(network, EdsrLayout | SwinIR):
        return network.skip
    return network.body if isinstance(network, MsrLayout | Mixer) else None
