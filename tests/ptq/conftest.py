from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from qsr import archs
from qsr.archs.modelfile import ModelInfo, save_model
from qsr.data.image import write_png
from qsr.data.resize import bicubic_upscale
from qsr.options import Options, from_dict

SRRESNET = {"type": "SRResNet", "num_feat": 6, "num_block": 2, "img_range": 1.0}
SWINIR = {"type": "SwinIR", "depths": [2, 2], "num_heads": [2, 2], "embed_dim": 8}


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    """A folder of four smooth pictures of 48 x 64."""
    folder = tmp_path_factory.mktemp("calibration")
    rng = np.random.default_rng(0)
    for i in range(4):
        write_png(folder / f"p{i}.png", bicubic_upscale(rng.integers(0, 256, (12, 16, 3), np.uint8), 4))
    return folder


@pytest.fixture(scope="session")
def full_precision(tmp_path_factory):
    """make(network section) -> an untrained full-precision experiment, the same one for the same section."""
    folder = tmp_path_factory.mktemp("experiments")

    def make(section: dict = SRRESNET, name: str = "fp") -> Path:
        path = folder / f"{name}_{section['type']}"
        if not path.exists():
            torch.manual_seed(0)
            options = from_dict({"name": name, "scale": 2, "network_g": section})
            save_model(path / "models" / "net_g_latest.safetensors", archs.build(options), ModelInfo(options.to_json()))
        return path

    return make


@pytest.fixture
def quantized():
    """make(w_bits, a_bits, section, **quant) -> (network in eval mode without step sizes, options)."""

    def make(w_bits: int = 4, a_bits: int = 4, section: dict = SRRESNET, **quant) -> tuple[torch.nn.Module, Options]:
        torch.manual_seed(0)
        settings = {"method": "lsq", "w_granularity": "channel", "w_bits": w_bits, "a_bits": a_bits, **quant}
        options = from_dict({"name": "t", "scale": 2, "network_g": section, "quant": settings})
        network = archs.build(options)
        archs.quantize(network, options)
        return network.eval(), options

    return make
