"""Small networks of every kind with the numbers that training leaves behind: nothing at the value that it starts with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from qsr import archs
from qsr.archs import depth
from qsr.archs.modelfile import ModelInfo
from qsr.options import from_dict
from qsr.quant import calibrate, quantizers
from qsr.quant.cadyq import CADyQ

SECTIONS: dict[str, dict[str, Any]] = {
    "srresnet": {"type": "SRResNet", "num_feat": 8, "num_block": 2},
    "unit": {"type": "MSRResNet", "num_feat": 8, "num_block": 2, "block": "unit"},
    "e2fif": {"type": "SRResNet", "num_feat": 6, "num_block": 2, "block": "e2fif"},
    "msr": {"type": "MSRResNet", "num_feat": 4, "num_block": 2},
    "mixer": {"type": "Mixer", "num_feat": 8, "num_block": 2},
    "mixer_unit": {"type": "Mixer", "num_feat": 8, "num_block": 2, "block": "unit"},
    "swinir": {"type": "SwinIR", "depths": [2, 2], "num_heads": [2, 2], "embed_dim": 8, "window_size": 4},
}
METRICS = {"results": {"Set5": {"psnr_y": 30.5}}, "best": {"iteration": 7, "protocol": "sr-y-crop2-uint8"}}
Trained = Callable[..., tuple[nn.Module, ModelInfo]]
SECRET = "/home/someone/pictures"


@pytest.fixture
def trained() -> Trained:
    """trained(network="srresnet", quant={}, dqa=(), **network settings) -> (network in eval mode, its ModelInfo).

    quant None: float. Sums have gains. CADyQ's choices are fixed, each to another one.
    """

    def make(
        network: str = "srresnet", quant: dict[str, Any] | None = None, dqa: tuple[int, ...] = (), **settings: Any
    ) -> tuple[nn.Module, ModelInfo]:
        torch.manual_seed(0)
        data: dict[str, Any] = {"name": "tiny", "scale": 2, "network_g": SECTIONS[network] | settings}
        data["path"] = {"experiments_root": SECRET}
        if quant is not None:
            data["quant"] = {"method": "rlq", "w_bits": 4, "a_bits": 4, "start": "balanced", **quant}
        if dqa:
            data["depth"] = {"dqa": {"depths": list(dqa)}}
        options = from_dict(data)
        built = archs.build(options)
        archs.quantize(built, options)
        _disturb(built)
        calibrate(built, [torch.rand(2, 3, 8, 8)])
        _disturb_quantizers(built)
        if dqa:
            depth.freeze_order(built)
        return built.eval(), ModelInfo(
            options=options.to_json(), iteration=9, weights="ema", metrics=METRICS, extra={"p": SECRET}
        )

    return make


@torch.no_grad()
def _disturb(network: nn.Module) -> None:
    for name, parameter in network.named_parameters():
        if name.endswith(("bias", "gamma", "zeta", "bias_table")):
            parameter.normal_(0, 0.1)
        elif name.endswith("shortcut"):
            parameter.normal_(1, 0.2)
        elif name.endswith(("act.slope", "act1.slope", "act2.slope", "act.weight")):
            parameter.normal_(0.2, 0.1)
        elif ".norm" in name and name.endswith("weight"):
            parameter.normal_(0.8, 0.5)  # some channels turned around
        elif ("conv" in name or ".dw." in name) and name.endswith("weight"):
            parameter.normal_(0, 0.1)  # MSRResNet's own start is so small that a forgotten branch would not show
    for name, buffer in network.named_buffers():
        if name.endswith("gain"):
            buffer.uniform_(0.3, 0.9)
        elif name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 2)


@torch.no_grad()
def _disturb_quantizers(network: nn.Module) -> None:
    for number, (_, quantizer) in enumerate(quantizers(network)):
        for leaf in ("step", "shift", "c"):
            parameter = getattr(quantizer, leaf, None)
            if not isinstance(parameter, nn.Parameter):
                continue
            if leaf == "step":
                parameter.mul_(-1.1 if number % 2 else 0.9)  # a raw step may be negative
            else:
                parameter.normal_(0, 0.2)
        if isinstance(quantizer, CADyQ) and quantizer.role == "act":
            quantizer.fixed = number % len(quantizer.space)


@pytest.fixture
def lr() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (9, 11, 3), np.uint8)
