"""A tiny trained-looking experiment and a zoo that holds it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from qsr import archs
from qsr.archs.modelfile import ModelInfo, save_model
from qsr.evaluate.subject import file_hash
from qsr.options import from_dict
from qsr.quant import calibrate
from qsr.zoo.add import About, add

SCORES = {"Set5": (34.5, 0.94), "Set14": (30.9, 0.88)}
BICUBIC = {"Set5": (33.67, 0.9302), "Set14": (30.33, 0.8693)}


def write_results(path: Path, scores: dict, model_hash: str | None = None) -> Path:
    rows = [
        {"dataset": name, "scale": 2, "psnr_y": psnr, "ssim_y": ssim, "images": []} for name, (psnr, ssim) in scores.items()
    ]
    rows.append({"dataset": "Set5", "scale": 3, "psnr_y": 1.0, "ssim_y": 0.1, "images": []})
    data = {"format": 1, "protocol": "sr-y-crop2-uint8", "rows": rows, **({"model_hash": model_hash} if model_hash else {})}
    path.write_text(json.dumps(data))
    return path


@pytest.fixture(scope="session")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 2-bit network of one block, calibrated; its options name folders of the machine it was made on."""
    folder = tmp_path_factory.mktemp("experiment")
    torch.manual_seed(0)
    options = from_dict(
        {
            "name": "tiny_rlq",
            "scale": 2,
            "datasets": {"train": {"dataroot_gt": str(folder / "data" / "BSD400"), "gt_size": 48}},
            "network_g": {"type": "SRResNet", "num_feat": 4, "num_block": 1},
            "quant": {"method": "rlq", "w_bits": 2, "a_bits": 2},
            "train": {"total_iter": 1500},
            "path": {"pretrain_network_g": str(folder / "fp")},
        }
    )
    network = archs.build(options)
    archs.quantize(network, options)
    calibrate(network, [torch.rand(1, 3, 8, 8)])
    info = ModelInfo(options.to_json(), iteration=1500, weights="ema", extra={"from": str(folder / "fp")})
    save_model(folder / "models" / "net_g_latest.safetensors", network, info)
    return folder


@pytest.fixture
def zoo(experiment: Path, tmp_path: Path) -> Path:
    """A folder with the experiment released as tiny_x2_w2a2."""
    model = experiment / "models" / "net_g_latest.safetensors"
    results = write_results(tmp_path / "metrics.json", SCORES, file_hash(model))
    bicubic = write_results(tmp_path / "bicubic.json", BICUBIC)
    about = About(results, bicubic, recipe=("resumed twice",), note="A test model.", measure=False)
    add(experiment, "tiny_x2_w2a2", tmp_path / "zoo", about)
    return tmp_path / "zoo"
