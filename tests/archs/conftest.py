"""Small networks, built from options as a user would."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from qsr.options import Options, from_dict

SRRESNET = {"type": "SRResNet", "num_feat": 4, "num_block": 2}
SWINIR = {"type": "SwinIR", "depths": [2, 2], "num_heads": [2, 2], "embed_dim": 8, "window_size": 4}
RLQ_W4A4 = {"method": "rlq", "w_bits": 4, "a_bits": 4}


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def make_options() -> Callable[..., Options]:
    """make(network, scale=2, quant=None, depths=None) -> Options; `network`: "srresnet", "swinir" or a section."""

    def make(network: Any = "srresnet", scale: int = 2, quant: Any = None, depths: Any = None) -> Options:
        sections = {"srresnet": SRRESNET, "swinir": SWINIR}
        data = {"name": "test", "scale": scale, "network_g": sections[network] if isinstance(network, str) else network}
        if quant:
            data["quant"] = RLQ_W4A4 | (quant if isinstance(quant, dict) else {})
        if depths:
            data["depth"] = {"dqa": {"depths": list(depths)}}
        return from_dict(data)

    return make
