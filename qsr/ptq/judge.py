"""How good a network is on patches of the calibration pictures: PSNR against the truth, distance to full precision."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from qsr.evaluate.metrics import psnr
from qsr.evaluate.protocol import Protocol
from qsr.ptq.modes import full_precision
from qsr.ptq.pictures import Calibration

FIRST = 1_000_000  # number of the first patch that judges: none of those that steps are set or learned from


@dataclass(frozen=True)
class Score:
    """psnr_y: mean over the patches, dB. error: mean squared difference to the full-precision output, RGB in [0, 255]."""

    psnr_y: float
    error: float


class Judge:
    """`count` patches with their truth and the full-precision network's output."""

    def __init__(self, network: nn.Module, calibration: Calibration, count: int, batch: int, protocol: Protocol) -> None:
        lq, gt = calibration.pairs(FIRST, count)
        device = next(network.parameters()).device
        self._inputs = [one.to(device) for one in torch.split(lq, batch)]
        self._truth = _bytes(gt)
        self._protocol = protocol
        with full_precision(network):
            self._target = self._outputs(network)
            self.full_precision = self(network)

    def __call__(self, network: nn.Module) -> Score:
        """The network as it is now."""
        outputs = self._outputs(network)
        error = float((outputs - self._target).square().mean()) * 255**2
        crop, y, round_y = self._protocol.crop, self._protocol.y_channel, self._protocol.round_y
        pictures = zip(_bytes(outputs), self._truth)
        found = [psnr(ours.numpy(), truth.numpy(), crop, y, round_y=round_y) for ours, truth in pictures]
        return Score(sum(found) / len(found), error)

    @torch.no_grad()
    def _outputs(self, network: nn.Module) -> Tensor:
        return torch.cat([network(one).clamp(0, 1).cpu() for one in self._inputs])


def _bytes(pictures: Tensor) -> Tensor:
    """(N, 3, h, w) float in [0, 1] -> (N, h, w, 3) uint8."""
    return (pictures * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
