"""The network being trained together with what belongs to it: compiled form, optimiser, average, layer table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from qsr.quant import LayerReport
from qsr.train import optim
from qsr.train.ema import Ema
from qsr.train.stages import Stage, train_section


@dataclass
class Trainee:
    """network: the plain module (its names are the saved names); forward: the same, compiled if asked for."""

    network: nn.Module
    forward: nn.Module
    optimiser: Optimizer
    ema: Ema | None
    report: LayerReport
    memory_format: torch.memory_format

    @property
    def weights(self) -> list[nn.Parameter]:
        return [weight for weight in self.network.parameters() if weight.requires_grad]

    @contextmanager
    def averaged(self) -> Iterator[nn.Module]:
        """The network in evaluation mode with the weights that are validated and shipped: averaged, or as they are."""
        self.network.eval()
        try:
            if self.ema is None:
                yield self.network
            else:
                with self.ema.applied(self.network):
                    yield self.network
        finally:
            self.network.train()

    def shipped_state(self) -> dict[str, Tensor]:
        return self.ema.state(self.network) if self.ema else self.network.state_dict()


def make(network: nn.Module, report: LayerReport, stage: Stage, device: torch.device) -> Trainee:
    """Move to the device and the memory layout, then build optimiser and average around the weights' final storage."""
    options = stage.options
    train = train_section(options)
    convolutional = getattr(network, "window", 1) == 1
    layout = torch.channels_last if options.channels_last and convolutional else torch.contiguous_format
    network.to(device).to(memory_format=layout).train()
    return Trainee(
        network=network,
        forward=torch.compile(network) if options.compile else network,
        optimiser=optim.build(network, train.optim_g, stage.lr),
        ema=Ema(network, train.ema_decay) if train.ema_decay else None,
        report=report,
        memory_format=layout,
    )
