"""Depth-dynamic architecture (QuantSR's DQA, algorithms 1.2): one supernet, nested sub-networks, shared weights.

The residual blocks of a network stand in a `DepthStack`. Each block owns a learnable scalar `shortcut` s, initially 1:

    active block    y = s * x + branch(x)
    skipped block   y = s * x

Blocks are ranked once, at the end of the warm-up, by how much their branch matters; the sub-network of depth n keeps
the n most important blocks, so a shallower sub-network's blocks are always among a deeper one's. Exactly n blocks
are kept (the released code keeps n + 1). The ranking is a buffer: it travels in the state dict.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn

from qsr.errors import FormatError, OptionsError

Importance = Literal["shortcut", "branch_ratio"]


class DepthStack(nn.Sequential):
    """Residual blocks in a row, of which some are active.

    blocks: modules with a scalar parameter `shortcut` (shape ()); called as block(x, *context).
    depths: numbers of active blocks that can be chosen, largest first; depths[0] == len(blocks).
    Buffer `order` (int64, one entry per block): block numbers, most important first; -1 everywhere until frozen.
    """

    order: Tensor

    def __init__(self, blocks: Iterable[nn.Module], depths: tuple[int, ...]) -> None:
        super().__init__(*blocks)
        if depths[0] != len(self) or list(depths) != sorted(set(depths), reverse=True):
            raise ValueError(f"depths: found {depths}, expected decreasing numbers that start at {len(self)} blocks")
        self.depths = depths
        self.register_buffer("order", torch.full((len(self),), -1, dtype=torch.int64))
        self._active = (True,) * len(self)
        self._cached: tuple[Tensor, int, list[int]] | None = None

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:  # type: ignore[override]
        """x and the result: any shape that the blocks take."""
        skipped: Tensor | None = None
        for block, active in zip(self, self._active, strict=True):
            if not active:
                # the scalars of a run of skipped blocks are multiplied first: one pass over the feature map, not one each
                skipped = block.shortcut if skipped is None else skipped * block.shortcut
                continue
            if skipped is not None:
                x, skipped = x * skipped, None
            x = block(x, *context)
        return x if skipped is None else x * skipped

    def ranking(self) -> list[int] | None:
        """Block numbers, most important first; None until frozen. FormatError if the buffer is no permutation."""
        order = self.order
        version = -1 if order.is_inference() else order._version
        # reading the buffer waits for the GPU, which three times per training step is too much
        if self._cached is None or self._cached[0] is not order or self._cached[1] != version or version < 0:
            self._cached = (order, version, order.tolist())
        ranking = self._cached[2]
        if ranking[0] < 0:
            return None
        if sorted(ranking) != list(range(len(self))):
            raise FormatError(f"order of blocks: found {ranking}, expected each of 0..{len(self) - 1} once")
        return ranking

    def activate(self, depth: int) -> None:
        """Keep the `depth` most important blocks; OptionsError if that depth was not trained or nothing is ranked yet."""
        if depth not in self.depths:
            raise OptionsError(f"depth {depth}: this network was trained for depths {', '.join(map(str, self.depths))}")
        if depth == len(self):
            self._active = (True,) * depth
            return
        ranking = self.ranking()
        if ranking is None:
            raise OptionsError(
                f"depth {depth}: the order of blocks is not fixed yet, only the full depth {len(self)} can run",
                hint="train past the warm-up (depth.dqa.warmup)",
            )
        kept = set(ranking[:depth])
        self._active = tuple(number in kept for number in range(len(self)))

    @property
    def active(self) -> tuple[int, ...]:
        """Numbers of the blocks that run, ascending."""
        return tuple(number for number, active in enumerate(self._active) if active)


def find_stack(network: nn.Module) -> DepthStack | None:
    """The network's depth-dynamic stack; None if its depth is fixed."""
    return next((module for module in network.modules() if isinstance(module, DepthStack)), None)


def depths(network: nn.Module) -> tuple[int, ...]:
    """Depths that can be chosen, largest first; () when the network is not depth-dynamic."""
    stack = find_stack(network)
    return stack.depths if stack is not None else ()


def set_depth(network: nn.Module, depth: int | None) -> None:
    """Run the sub-network of `depth` blocks from now on; None: the full depth. Cheap enough for every training step.

    Raises OptionsError for a depth that was not trained, before the order is frozen, or on a network of fixed depth.
    """
    stack = find_stack(network)
    if stack is None:
        if depth is not None:
            raise OptionsError(f"depth {depth}: this network is not depth-dynamic", hint="train with depth.dqa")
        return
    stack.activate(len(stack) if depth is None else depth)


def order_frozen(network: nn.Module) -> bool:
    """Whether the blocks are ranked, so that sub-networks can run."""
    stack = find_stack(network)
    return stack is not None and stack.ranking() is not None


def freeze_order(network: nn.Module, importance: Importance = "shortcut", batch: Tensor | None = None) -> None:
    """Rank the blocks. Equal importance keeps the earlier block.

    shortcut: importance -|s|; a block whose shortcut is small carries its information in the branch.
    branch_ratio: E||branch(x)|| / E||s x||, measured at full depth on `batch` (N, 3, h, w), which is then required.
    """
    stack = find_stack(network)
    if stack is None:
        raise OptionsError("this network is not depth-dynamic: there is no order of blocks to freeze")
    if importance == "shortcut":
        scores = torch.stack([-block.shortcut.detach().abs() for block in stack])
    else:
        if batch is None:
            raise ValueError("branch_ratio is measured on a batch; found None")
        scores = _branch_ratios(network, stack, batch)
    with torch.no_grad():
        stack.order.copy_(torch.argsort(scores.float().cpu(), descending=True, stable=True))


def _branch_ratios(network: nn.Module, stack: DepthStack, batch: Tensor) -> Tensor:
    """Branch over shortcut of every block (shape (len(stack),)), from norms per sample averaged over the batch."""
    ratios: list[Tensor] = []

    def measure(block: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        kept = (inputs[0] * block.shortcut).flatten(1).float()
        branch = output.flatten(1).float() - kept
        ratios.append(branch.norm(dim=1).mean() / kept.norm(dim=1).mean().clamp_min(1e-12))

    was_training = network.training
    hooks = [block.register_forward_hook(measure) for block in stack]
    try:
        set_depth(network, None)
        network.eval()
        with torch.no_grad():
            network(batch)
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return torch.stack(ratios)
