"""TensorBoard: scalars, step sizes, shifts, histograms of codes, validation crops. Imported only when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from qsr.errors import EnvironmentFault
from qsr.quant import Quantizer, quantizers


class Board:
    """A writer into `tb_logger/`; rows after `iteration` of an earlier process are dropped.

    A disk that refuses is told once through `complain`; from then on nothing more is written here, and training goes on.
    """

    def __init__(self, folder: Path, iteration: int, complain: Callable[[str], None] = print) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as fault:
            raise EnvironmentFault(
                "logger.use_tb_logger: tensorboard is not installed", hint="install it, or set logger.use_tb_logger: false"
            ) from fault
        self._folder, self._complain = folder, complain
        self._writer: Any = None
        with self._going_on():
            self._writer = SummaryWriter(str(folder), purge_step=iteration + 1 if iteration else None)

    @contextmanager
    def _going_on(self) -> Iterator[None]:
        """Around all that writes: the first OSError (maybe of an earlier write, by the writer's thread) switches it off."""
        try:
            yield
        except OSError as fault:
            self._writer = None
            self._complain(
                f"{self._folder}: cannot write ({fault.strerror or fault}); no more for TensorBoard, training goes on"
            )

    def scalars(self, iteration: int, values: dict[str, float], group: str = "train") -> None:
        with self._going_on():
            for name, value in values.items() if self._writer else ():
                self._writer.add_scalar(f"{group}/{name}", value, iteration)

    def quantizers(self, iteration: int, network: nn.Module, lq: Tensor) -> None:
        """Step sizes, shifts, and how often each code occurs in one forward pass on `lq` (N, 3, h, w)."""
        if self._writer is None:
            return
        with self._going_on():
            for name, quantizer in quantizers(network):
                if getattr(quantizer, "step", None) is not None:
                    self._writer.add_scalar(f"step/{name}", float(quantizer.step.detach().mean()), iteration)
                if getattr(quantizer, "shift", None) is not None:
                    self._writer.add_histogram(f"shift/{name}", quantizer.shift.detach().float().cpu(), iteration)
            for name, codes in codes_of(network, lq).items():
                self._writer.add_histogram(f"codes/{name}", codes, iteration)

    def picture(self, iteration: int, name: str, picture: np.ndarray) -> None:
        """picture: (h, w, 3) uint8."""
        if self._writer is not None:
            with self._going_on():
                self._writer.add_image(f"val/{name}", picture, iteration, dataformats="HWC")

    def close(self) -> None:
        if self._writer is not None:
            with self._going_on():
                self._writer.close()


@torch.no_grad()
def codes_of(network: nn.Module, lq: Tensor) -> dict[str, Tensor]:
    """Integer codes of every quantizer that one forward pass on `lq` reaches, on the CPU."""
    found: dict[str, Tensor] = {}

    def watch(name: str) -> Any:
        def hook(quantizer: Quantizer, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            found[name] = quantizer.encode(inputs[0]).q.cpu()

        return hook

    handles = [quantizer.register_forward_hook(watch(name)) for name, quantizer in quantizers(network)]
    try:
        network(lq)
    finally:
        for handle in handles:
            handle.remove()
    return found
