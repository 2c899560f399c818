"""Statistics that quantizers keep must be the same on every rank: a checkpoint holds rank 0's, and a resumed run all."""

from __future__ import annotations

import torch
from torch import Tensor


def world_size() -> int:
    """Number of training processes; 1 outside torch.distributed."""
    ready = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_world_size() if ready else 1


def mean_over_ranks(statistic: Tensor) -> Tensor:
    """The mean of a small tensor over all ranks; a collective where there are several, which every rank must call."""
    world = world_size()
    if world == 1:
        return statistic
    total = statistic.clone()
    torch.distributed.all_reduce(total)
    return total / world


def max_over_ranks(statistic: Tensor) -> Tensor:
    """The largest of a small tensor over all ranks, elementwise; a collective as `mean_over_ranks` is."""
    if world_size() == 1:
        return statistic
    largest = statistic.clone()
    torch.distributed.all_reduce(largest, op=torch.distributed.ReduceOp.MAX)
    return largest
