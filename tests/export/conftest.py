"""Small quantized networks with the numbers that training leaves behind, and mutations of the files made from them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from qsr import archs
from qsr.archs import depth
from qsr.archs.modelfile import ModelInfo
from qsr.errors import FormatError
from qsr.export.check import Tensors
from qsr.export.header import METADATA_KEY, Header
from qsr.export.packed import pack
from qsr.export.unpack import parse_packed, to_network
from qsr.options import from_dict
from qsr.quant import calibrate, quantizers

SECTIONS = {
    "srresnet": {"type": "SRResNet", "num_feat": 5, "num_block": 2},
    "msr": {"type": "MSRResNet", "num_feat": 4, "num_block": 2},
    "swinir": {"type": "SwinIR", "depths": [2, 2], "num_heads": [2, 2], "embed_dim": 6, "window_size": 4},
}
METRICS = {"results": {"Set5": {"psnr_y": 30.5}}, "best": {"iteration": 7, "protocol": "sr-y-crop2-uint8"}}
Trained = Callable[..., tuple[nn.Module, ModelInfo]]
SECRET = "/home/someone/pictures"


@pytest.fixture
def trained() -> Trained:
    """trained(network="srresnet", quant={}, depths=()) -> (network in eval mode, its ModelInfo); quant None: float."""

    def make(network: str = "srresnet", quant: dict[str, Any] | None = None, depths: tuple[int, ...] = ()):
        torch.manual_seed(0)
        data: dict[str, Any] = {"name": "tiny", "scale": 2, "network_g": SECTIONS[network]}
        data["path"] = {"experiments_root": SECRET}
        if quant is not None:
            data["quant"] = {"method": "rlq", "w_bits": 4, "a_bits": 4, **quant}
        if depths:
            data["depth"] = {"dqa": {"depths": list(depths)}}
        options = from_dict(data)
        built = archs.build(options)
        archs.quantize(built, options)
        with torch.no_grad():
            for name, parameter in built.named_parameters():
                if name.endswith("bias"):
                    parameter.normal_(0, 0.1)
                elif name.endswith("shortcut"):
                    parameter.copy_(1 + 0.2 * torch.randn(()))
        calibrate(built, [torch.rand(2, 3, 8, 8)])
        with torch.no_grad():
            for number, (_, quantizer) in enumerate(quantizers(built)):
                quantizer.step.mul_(-1.1 if number % 2 else 0.9)  # a raw step may be negative
                if quantizer.shift is not None:
                    quantizer.shift.normal_(0, 0.2)
        if depths:
            depth.freeze_order(built)
        return built.eval(), ModelInfo(
            options=options.to_json(), iteration=9, weights="ema", metrics=METRICS, extra={"p": SECRET}
        )

    return make


@pytest.fixture
def parts(trained: Trained) -> tuple[Tensors, Header]:
    """Tensors and header of a small packed SRResNet, w3a4."""
    return pack(*trained(quant={"w_bits": 3}))


@pytest.fixture
def lr() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (9, 11, 3), np.uint8)


@pytest.fixture
def refused() -> Callable[..., str]:
    """refused(tensors, header JSON or text) -> the message with which a file of these is refused."""
    from safetensors.numpy import save

    def message(tensors: Tensors, header: Any) -> str:
        text = header if isinstance(header, str) else json.dumps(header)
        with pytest.raises(FormatError) as caught:
            to_network(parse_packed(save(dict(tensors), metadata={METADATA_KEY: text}), "net.qsr"))
        assert caught.value.where == "net.qsr"
        return caught.value.message

    return message
