"""One depth of a depth-dynamic network on its own: blocks that it skips are gone, their shortcut scalars folded.

A skipped block computes y = s * x, so a run of them is one factor; the stack keeps that factor (its `gain`) between
the blocks that stay. Blocks keep their numbers, so layer names and rules mean what they meant in training.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from qsr.archs.depth import DepthStack, find_stack, set_depth
from qsr.errors import FormatError


class FoldedStack(nn.Module):  # type: ignore[misc]
    """Some blocks of a DepthStack; x -> (... block_1(gain_1 * block_0(gain_0 * x))) * gain_last.

    Buffer `gain`: (number of blocks + 1,) float32, 1 where nothing was skipped. Children are called by the numbers
    that the blocks had in the whole network.
    """

    gain: Tensor

    def __init__(self, stack: DepthStack, kept: tuple[int, ...], gain: Tensor) -> None:
        super().__init__()
        for number in kept:
            self.add_module(str(number), stack[number])
        self.register_buffer("gain", gain)

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        for gain, block in zip(self.gain, self.children(), strict=False):  # one gain more than there are blocks
            x = block(x * gain, *context)
        return x * self.gain[-1]


def fold(network: nn.Module, depth: int) -> tuple[int, ...]:
    """Reduce `network`, in place, to its sub-network of `depth` blocks; the numbers of the blocks that stay.

    Outputs are those of `set_depth(network, depth)`, bit for bit. Raises OptionsError as `set_depth` does.
    """
    set_depth(network, depth)
    stack = find_stack(network)
    assert stack is not None, "set_depth refuses a network of fixed depth"
    kept = stack.active
    replace_stack(network, kept, _gains(stack, kept))
    return kept


def replace_stack(network: nn.Module, kept: tuple[int, ...], gain: Tensor | None = None) -> None:
    """Put a FoldedStack of the blocks `kept` in place of the network's stack; gain None: all 1, to be loaded.

    Raises FormatError unless `kept` are ascending numbers of blocks and as many as a depth that was trained.
    """
    for parent in network.modules():
        for name, stack in parent.named_children():
            if isinstance(stack, DepthStack):
                total = len(stack)
                ascending = all(a < b for a, b in zip((-1, *kept), (*kept, total), strict=True))
                if not ascending or len(kept) not in stack.depths:
                    raise FormatError(f"blocks: found {list(kept)}, expected {stack.depths} of the numbers 0 to {total - 1}")
                device = next(stack.parameters()).device
                ones = torch.ones(len(kept) + 1, device=device)
                setattr(parent, name, FoldedStack(stack, kept, ones if gain is None else gain))
                return
    raise FormatError(f"blocks: found {list(kept)}, but the network is not depth-dynamic")


def _gains(stack: DepthStack, kept: tuple[int, ...]) -> Tensor:
    """Product of the shortcuts skipped before each kept block and after the last, in the order DepthStack multiplies."""
    gains, run = [], torch.ones(())
    for number, block in enumerate(stack):
        if number in kept:
            gains.append(run)
            run = torch.ones(())
        else:
            run = run * block.shortcut.detach().cpu()
    return torch.stack([*gains, run])
