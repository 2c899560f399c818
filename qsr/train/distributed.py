"""Several processes under torchrun: who am I, average the gradients, agree on small facts.

Gradients are averaged here, in one all-reduce of one flat buffer in parameter order, instead of by
DistributedDataParallel: a depth-dynamic step runs the network several times before its one backward pass, and a
warm-up leaves parameters unused, both of which DDP's hooks must be told about. One fixed-order buffer is exact, works
with every stage and lets the loss terms and the stop request ride along, so that all ranks see the same numbers and
stop at the same step without another message. The price is that communication does not overlap the backward pass:
6 MB for 1.5 M parameters, well below a millisecond on the links that GPUs have.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from qsr import errors
from qsr.errors import EnvironmentFault, OptionsError, QsrError


@dataclass(frozen=True)
class Team:
    """The processes of one run. A single process is a team of one, for which nothing is communicated."""

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def average_(self, tensors: Sequence[Tensor]) -> None:
        """Replace each float32 tensor by its mean over the ranks; the same list of shapes on every rank."""
        if self.world == 1:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.world
        for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def copy_from_main_(self, tensors: Sequence[Tensor]) -> None:
        """Give every rank the tensors of rank 0."""
        if self.world == 1:
            return
        for tensor in tensors:
            whole = tensor.contiguous()
            dist.broadcast(whole, 0)
            tensor.copy_(whole)

    def gather(self, value: Any) -> list[Any]:
        """A JSON value of every rank, in rank order. JSON, because the usual object collectives unpickle."""
        if self.world == 1:
            return [value]
        content = json.dumps(value).encode()
        lengths = self._all_gather(torch.tensor([len(content)], device=self.device))
        width = max(int(length) for length in lengths)
        padded = torch.zeros(width, dtype=torch.uint8, device=self.device)
        padded[: len(content)] = torch.frombuffer(bytearray(content), dtype=torch.uint8).to(self.device)
        return [
            json.loads(bytes(row[: int(length)].tolist()))
            for row, length in zip(self._all_gather(padded), lengths, strict=True)
        ]

    def gather_tensor(self, value: Tensor) -> list[Tensor]:
        """A tensor of every rank (same shape everywhere), on the CPU."""
        return [value] if self.world == 1 else [row.cpu() for row in self._all_gather(value.to(self.device))]

    def on_main(self, work: Callable[[], Any]) -> Any:
        """Rank 0 works, every rank gets its JSON value; a QsrError of rank 0 is raised on every rank."""
        fault: QsrError | None = None
        value = None
        if self.is_main:
            try:
                value = work()
            except QsrError as found:
                fault = found
        reply = self.gather({"value": value, "fault": fault and [type(fault).__name__, str(fault)]})[0]
        if fault is not None:
            raise fault
        if reply["fault"] is not None:
            kind, text = reply["fault"]
            raise getattr(errors, kind)(text)
        return reply["value"]

    def _all_gather(self, value: Tensor) -> list[Tensor]:
        rows = [torch.empty_like(value) for _ in range(self.world)]
        dist.all_gather(rows, value)
        return rows


@contextmanager
def team(device: str = "auto", launcher: str = "none") -> Iterator[Team]:
    """Join the processes that torchrun started (its environment decides), or be alone.

    Raises OptionsError for `launcher="pytorch"` outside torchrun and EnvironmentFault for a device that is not there.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if launcher == "pytorch" and "RANK" not in os.environ:
        raise OptionsError(
            "--launcher pytorch: no torchrun environment (RANK is not set)",
            hint="start with: torchrun --standalone --nproc-per-node=N -m qsr.cli.main train -opt FILE --launcher pytorch",
        )
    if world == 1:
        yield Team(device=pick_device(device, 0))
        return
    own = pick_device(device, int(os.environ["LOCAL_RANK"]))
    if own.type == "cuda":
        torch.cuda.set_device(own)
    dist.init_process_group("nccl" if own.type == "cuda" else "gloo")
    try:
        yield Team(dist.get_rank(), dist.get_world_size(), own)
    finally:
        dist.destroy_process_group()


def pick_device(wanted: str, local_rank: int) -> torch.device:
    """`auto` takes the rank's GPU where there is one, else the CPU; others are taken at their word."""
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if wanted == "mps":
        if not torch.backends.mps.is_available():
            raise EnvironmentFault("device: mps is not available on this machine", hint="device: auto")
        return torch.device("mps")
    if local_rank >= torch.cuda.device_count():
        raise EnvironmentFault(
            f"device: {wanted}: found {torch.cuda.device_count()} GPUs, this process needs number {local_rank}",
            hint="device: cpu, or fewer processes per node",
        )
    return torch.device("cuda", local_rank)
