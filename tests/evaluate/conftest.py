from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def networks() -> ModuleType:
    """The module networks.py of this folder (tests are not packages, so it is loaded by path)."""
    spec = importlib.util.spec_from_file_location("evaluate_test_networks", Path(__file__).with_name("networks.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def make_options():
    """make(scale=2, quant=..., **sections) -> Options of a tiny SRResNet; sections replace or add keys."""
    from qsr.options import from_dict

    def make(scale: int = 2, quant=None, **sections):
        network = {"type": "SRResNet", "num_feat": 4, "num_block": 2}
        data = {"name": "tiny", "scale": scale, "network_g": network, **sections}
        return from_dict({**data, "quant": quant} if quant else data)

    return make


@pytest.fixture
def save(tmp_path):
    """save(options, folder="exp", name="net_g_latest") -> the experiment folder with an untrained, calibrated network."""
    import torch

    from qsr.archs import depth
    from qsr.archs.build import build, quantize
    from qsr.archs.modelfile import ModelInfo, save_model
    from qsr.quant import calibrate

    def write(options, folder: str = "exp", name: str = "net_g_latest", seed: int = 0) -> Path:
        torch.manual_seed(seed)
        network = build(options)
        report = quantize(network, options)
        calibrate(network, [torch.rand(1, 3, 16, 16)])
        if options.depth.dqa:
            depth.freeze_order(network)
        info = ModelInfo(options=options.to_json(), layers=report.to_json(), iteration=7, weights="ema")
        save_model(tmp_path / folder / "models" / f"{name}.safetensors", network, info)
        return tmp_path / folder

    return write


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    """A data root with the set `mine`: three smooth pictures of 36 x 40."""
    import numpy as np

    from qsr.data.image import write_png
    from qsr.data.resize import bicubic_upscale

    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for i in range(3):
        smooth = rng.integers(0, 256, (9, 10, 3)).astype(np.uint8)
        write_png(root / "mine" / "HR" / f"p{i}.png", bicubic_upscale(smooth, 4))
    return root
